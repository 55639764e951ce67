"""Testinfra's own backends, bounded: this machine, containers, and what else Testinfra reaches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast
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


@dataclass(frozen=True, slots=True)
class _Bounds:
    target: str
    settings: Settings

    def run(self, argv: Sequence[str], data: bytes = b"") -> Answer:
        """Run a program on this machine.

        Raises:
            ConnectionFailed: it cannot be started.
            LimitExceeded: it took too long, or answered too much.
        """
        deadline = Deadline(self.settings.probe_timeout)
        gathered = Gathered(self.target, deadline, self.settings.answer_limit)
        try:
            return LocalProgram(argv, data, gathered, deadline).communicate()
        except OSError as error:
            raise gathered.broken(f"{argv[0]} cannot be started ({error.strerror})") from None


class _BoundedBackend(BaseBackend):
    """What every backend gets on top: limits, a name of the inventory, and no prompts."""

    _bounds: _Bounds

    @override
    def run_local(self, command: str, *args: str) -> CommandResult:
        line = self.quote(command, *args)
        answer = self._bounds.run(["/bin/sh", "-c", line])
        status = -1 if answer.exit_status is None else answer.exit_status
        return self.result(status, line.encode(errors="surrogateescape"), answer.stdout, answer.stderr)

    @override
    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        return sudo_command(command, sudo_user)

    @override
    def get_pytest_id(self) -> str:
        return self._bounds.target

    @override
    def decode(self, data: bytes) -> str:
        """Decode without asking the target for its encoding: Testinfra runs python3 there to find it."""
        return data.decode(errors="replace")

    @override
    def encode(self, data: str) -> bytes:
        return data.encode(errors="surrogateescape")


class BackendConnection:
    """A target that Testinfra reaches. Nothing stays open: each execution is a program of its own here."""

    def __init__(self, name: str, backend: BaseBackend) -> None:
        self.name = name
        self._backend = backend

    @property
    def kind(self) -> str:
        """Testinfra's name for the way: such as `docker`."""
        return self._backend.get_connection_type()

    @cached_property
    def host(self) -> testinfra.host.Host:
        """Testinfra's view of the target, over this very connection."""
        host = testinfra.host.Host(self._backend)
        self._backend.set_host(host)
        return host

    def execute(self, script: str, *arguments: str) -> Answer:
        """Run a POSIX `sh` script on the target, in one execution. See `Connection.execute`."""
        command = " ".join(["/bin/sh -c %s sh", *("%s" for _ in arguments)])
        result = self._backend.run(command, script, *arguments)
        return Answer(result.rc if result.rc >= 0 else None, result.stdout_bytes, result.stderr_bytes)

    def close(self) -> None:
        """Let go of the target: nothing is open."""


class LocalConnection(BackendConnection):
    """This machine."""

    def __init__(self, name: str, backend: BaseBackend, bounds: _Bounds) -> None:
        super().__init__(name, backend)
        self._bounds = bounds

    @override
    def execute(self, script: str, *arguments: str) -> Answer:
        """Run a POSIX `sh` script here; it is in no list of processes. See `Connection.execute`."""
        sudo, user = self._backend.sudo, self._backend.sudo_user
        data = standard_input(script, arguments, sudo=sudo)
        answer = self._bounds.run(["/bin/sh", "-c", 'exec "$@"', "sh", *shell(sudo=sudo, sudo_user=user)], data)
        return without_sudo_mark(answer, self.name) if sudo else answer


def connect_by_backend(address: Address, settings: Settings, name: str) -> BackendConnection:
    """Reach a target as Testinfra does.

    Raises:
        ConnectionFailed: Testinfra cannot make the backend.
    """
    query = f"?{urlencode(address.options)}" if address.options else ""
    host, options = testinfra.backend.parse_hostspec(f"{address.scheme}://{address.host}{query}")
    options = {"sudo": settings.sudo, "sudo_user": settings.sudo_user} | options
    bounds = _Bounds(name, settings)
    try:
        backend = _backend_class(address.scheme, bounds)(*([] if address.is_local else [host]), **options)
    except (RuntimeError, ValueError, ImportError, OSError) as error:
        raise ConnectionFailed(f"{name}: {address} cannot be used ({error})") from None
    return LocalConnection(name, backend, bounds) if address.is_local else BackendConnection(name, backend)


def _backend_class(scheme: str, bounds: _Bounds) -> Callable[..., BaseBackend]:
    backend = testinfra.backend.get_backend_class(scheme)
    bounded = type(backend.__name__, (_BoundedBackend, backend), {"_bounds": bounds})
    return cast("Callable[..., BaseBackend]", bounded)
