"""Connections by Testinfra's backends, within limits: this machine, containers and others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast
from urllib.parse import urlencode

import testinfra.backend
import testinfra.host
from testinfra.backend.base import BaseBackend
from testinfra.backend.base import CommandResult as TestinfraResult
from typing_extensions import override

from nested_kvm.connection.base import CommandResult, Connection, Settings
from nested_kvm.connection.deadline import Deadline
from nested_kvm.connection.local_program import LocalProgram
from nested_kvm.connection.output import BoundedOutput
from nested_kvm.connection.plain_backend import PlainBackend
from nested_kvm.connection.shell_command import shell, standard_input, without_sudo_mark
from nested_kvm.errors import ConnectionFailed
from nested_kvm.inventory.address import Address


@dataclass(slots=True)
class _Bounds:
    target: str
    settings: Settings
    running: set[LocalProgram] = field(default_factory=set)
    is_closed: bool = False

    def run(self, argv: Sequence[str], data: bytes = b"") -> CommandResult:
        """Run a program on this machine.

        Raises:
            ConnectionFailed: it cannot be started, or the connection was closed.
            LimitExceeded: it took too long, or wrote too much.
        """
        deadline = Deadline(self.settings.probe_timeout)
        output = BoundedOutput(self.target, deadline, self.settings.answer_limit)
        if self.is_closed:
            raise output.connection_error("the connection was closed")
        try:
            program = LocalProgram(argv, data, output, deadline)
        except OSError as error:
            raise output.connection_error(f"{argv[0]} cannot be started ({error.strerror})") from None
        self.running.add(program)
        try:
            return program.communicate()
        finally:
            self.running.discard(program)

    def close(self) -> None:
        """Kill the running programs, and start no more."""
        self.is_closed = True
        for program in tuple(self.running):
            program.kill()


class _BoundedBackend(PlainBackend):
    """A mixin for all backends: limits, the name in the inventory, and no prompts."""

    _bounds: _Bounds

    @override
    def run_local(self, command: str, *args: str) -> TestinfraResult:
        line = self.quote(command, *args)
        answer = self._bounds.run(["/bin/sh", "-c", line])
        status = -1 if answer.exit_status is None else answer.exit_status
        return self.result(status, line.encode(errors="surrogateescape"), answer.stdout, answer.stderr)

    @override
    def get_pytest_id(self) -> str:
        return self._bounds.target


class BackendConnection(Connection):
    """A connection by a Testinfra backend. Nothing stays open: each execution is a separate local program."""

    def __init__(self, name: str, backend: BaseBackend, bounds: _Bounds) -> None:
        self.name = name
        self._backend = backend
        self._bounds = bounds

    @property
    def kind(self) -> str:
        """Testinfra's name of the backend, such as `docker`."""
        return self._backend.get_connection_type()

    @cached_property
    def host(self) -> testinfra.host.Host:
        """Testinfra's view of the target, over this very connection."""
        host = testinfra.host.Host(self._backend)
        self._backend.set_host(host)
        return host

    def execute(self, script: str, *arguments: str) -> CommandResult:
        """Run a POSIX `sh` script on the target, in one execution. See `Connection.execute`."""
        command = " ".join(["/bin/sh -c %s sh", *("%s" for _ in arguments)])
        result = self._backend.run(command, script, *arguments)
        return CommandResult(result.rc if result.rc >= 0 else None, result.stdout_bytes, result.stderr_bytes)

    def close(self) -> None:
        """Kill the programs that still run for this connection."""
        self._bounds.close()


class LocalConnection(BackendConnection):
    """A connection to this machine."""

    @override
    def execute(self, script: str, *arguments: str) -> CommandResult:
        """Run a POSIX `sh` script here; no process list shows it. See `Connection.execute`."""
        sudo, user = self._backend.sudo, self._backend.sudo_user
        data = standard_input(script, arguments, sudo=sudo)
        answer = self._bounds.run(["/bin/sh", "-c", 'exec "$@"', "sh", *shell(sudo=sudo, sudo_user=user)], data)
        return without_sudo_mark(answer, self.name) if sudo else answer


def connect_by_backend(address: Address, settings: Settings, name: str) -> BackendConnection:
    """Open a connection by a Testinfra backend.

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
    return (LocalConnection if address.is_local else BackendConnection)(name, backend, bounds)


def _backend_class(scheme: str, bounds: _Bounds) -> Callable[..., BaseBackend]:
    backend = testinfra.backend.get_backend_class(scheme)
    bounded = type(backend.__name__, (_BoundedBackend, backend), {"_bounds": bounds})
    return cast("Callable[..., BaseBackend]", bounded)
