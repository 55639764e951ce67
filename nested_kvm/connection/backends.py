"""Testinfra's own backends, bounded: this machine, containers, and what else Testinfra reaches."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, cast
from urllib.parse import urlencode

import testinfra.backend
import testinfra.host
from testinfra.backend.base import BaseBackend, CommandResult
from typing_extensions import override

from nested_kvm.connection.connection import Answer, Settings
from nested_kvm.connection.deadline import Deadline
from nested_kvm.connection.gathered import Gathered
from nested_kvm.connection.local_program import LocalProgram
from nested_kvm.connection.shell import shell, standard_input, sudo_command, without_sudo_mark
from nested_kvm.errors import ConnectionFailed
from nested_kvm.inventory.address import Address


class BackendConnection(BaseBackend):
    """What every backend gets on top: a name, limits, no prompts, and `execute`."""

    name: str
    settings: Settings

    @cached_property
    def host(self) -> testinfra.host.Host:
        """Testinfra's view of the target, over this very connection."""
        host = testinfra.host.Host(self)
        self.set_host(host)
        return host

    def execute(self, script: str, *arguments: str) -> Answer:
        """Run a POSIX `sh` script on the target, in one execution. See `Connection.execute`."""
        quoted = " ".join(["/bin/sh -c %s sh", *("%s" for _ in arguments)])
        result = self.run(quoted, script, *arguments)
        return Answer(result.rc if result.rc >= 0 else None, result.stdout_bytes, result.stderr_bytes)

    def close(self) -> None:
        """Let go of the target: each execution is a program of its own, so nothing is left."""

    def run_program(self, argv: list[str], data: bytes) -> Answer:
        """Run a program on this machine within the limits.

        Raises:
            ConnectionFailed: it cannot be started.
            LimitExceeded: it took too long, or answered too much.
        """
        deadline = Deadline(self.settings.probe_timeout)
        gathered = Gathered(self.name, deadline, self.settings.answer_limit)
        try:
            return LocalProgram(argv, data, gathered, deadline).communicate()
        except OSError as error:
            raise gathered.broken(f"{argv[0]} cannot be started ({error.strerror})") from None

    @override
    def run_local(self, command: str, *args: str) -> CommandResult:
        line = self.quote(command, *args)
        answer = self.run_program(["/bin/sh", "-c", line], b"")
        status = -1 if answer.exit_status is None else answer.exit_status
        return self.result(status, line.encode(errors="surrogateescape"), answer.stdout, answer.stderr)

    @override
    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        return sudo_command(command, sudo_user)

    @override
    def get_pytest_id(self) -> str:
        return self.name

    @override
    def decode(self, data: bytes) -> str:
        """Decode without asking the target for its encoding: Testinfra runs python3 there to find it."""
        return data.decode(errors="replace")

    @override
    def encode(self, data: str) -> bytes:
        return data.encode(errors="surrogateescape")


class LocalConnection(BackendConnection):
    """This machine."""

    NAME = "local"

    def __init__(self, *_arguments: Any, **options: Any) -> None:
        super().__init__("localhost", sudo=options["sudo"], sudo_user=options["sudo_user"])

    @override
    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        return self.run_local(self.get_command(command, *args))

    @override
    def execute(self, script: str, *arguments: str) -> Answer:
        """Run a POSIX `sh` script here. See `Connection.execute`."""
        data = standard_input(script, arguments, sudo=self.sudo)
        if not self.sudo:
            return self.run_program(shell(sudo=False, sudo_user=None), data)
        answer = self.run_program(
            ["/bin/sh", "-c", 'exec "$@"', "sh", *shell(sudo=True, sudo_user=self.sudo_user)], data
        )
        return without_sudo_mark(answer, self.name)


def connect_by_backend(address: Address, settings: Settings, name: str) -> BackendConnection:
    """Reach a target as Testinfra does. Nothing is opened yet: each execution is a program of its own.

    Raises:
        ConnectionFailed: Testinfra cannot make the backend.
    """
    spec = address.host + (f"?{urlencode(address.options)}" if address.options else "")
    host, options = testinfra.backend.parse_hostspec(f"{address.scheme}://{spec}")
    for option, value in {"sudo": settings.sudo, "sudo_user": settings.sudo_user}.items():
        options.setdefault(option, value)
    try:
        backend = _connection_class(address.scheme)(host, **options)
    except (RuntimeError, ValueError, ImportError, OSError) as error:
        raise ConnectionFailed(f"{name}: {address} cannot be used ({error})") from None
    backend.name, backend.settings = name, settings
    return backend


def _connection_class(scheme: str) -> Callable[..., BackendConnection]:
    if scheme == "local":
        return LocalConnection
    backend = testinfra.backend.get_backend_class(scheme)
    return cast("Callable[..., BackendConnection]", type(backend.__name__, (BackendConnection, backend), {}))
