"""A connection over a Testinfra host that is another suite's: its credentials, its connection, its settings."""

from typing import Any

import testinfra.host
from testinfra.backend.base import BaseBackend, HostSpec
from typing_extensions import override

from nested_kvm.connection.base import MEBIBYTE, CommandResult, Connection
from nested_kvm.errors import ConnectionFailed, LimitExceeded
from nested_kvm.inventory.address import Address
from nested_kvm.util.text import printable

_LIMIT = 4 * MEBIBYTE
_KEY_TYPES = (str, int, bool, float, type(None), HostSpec)


class ForeignConnection(Connection):
    """A connection by a Testinfra backend that is left as it is: nothing is opened, and nothing closed."""

    def __init__(self, host: testinfra.host.Host) -> None:
        self._host = host
        self._backend: BaseBackend = host.backend
        self.name = printable(self._backend.get_pytest_id())

    @property
    def address(self) -> Address:
        """The backend's kind and host, for messages and facts; nothing connects by it."""
        return Address(self.name, self._backend.get_connection_type(), self._backend.get_hostname())

    @property
    def key(self) -> tuple[object, ...]:
        """What identifies this host: all settings of its backend. Its id in pytest has neither user nor port."""
        settings = {name: value for name, value in vars(self._backend).items() if isinstance(value, _KEY_TYPES)}
        return (type(self._backend), *sorted((name, repr(value)) for name, value in settings.items() if name[0] != "_"))

    @property
    def host(self) -> testinfra.host.Host:
        """The host itself."""
        return self._host

    @override
    def execute(self, script: str, *arguments: str) -> CommandResult:
        """Run a POSIX `sh` script on the target, in one execution. See `Connection.execute`."""
        command = " ".join(["/bin/sh -c %s sh", *("%s" for _ in arguments)])
        try:
            result = self._backend.run(command, script, *arguments)
            answer = CommandResult(result.rc if result.rc >= 0 else None, result.stdout_bytes, result.stderr_bytes)
        except Exception as error:  # each backend raises its own library's
            raise ConnectionFailed(f"{self.name}: {_complaint(error)}") from error
        if len(answer.stdout) > _LIMIT:
            raise LimitExceeded(f"{self.name}: it wrote more than {_LIMIT} bytes", partial=answer.stdout[:_LIMIT])
        return answer

    @override
    def close(self) -> None:
        """Leave it open: it is the other suite's."""


def _complaint(error: Exception) -> str:
    """What the program that connects printed, where the error has its result; else the error itself."""
    printed = getattr(error.args[0], "stderr", "") if error.args else ""
    return printable(printed, 500) or f"{type(error).__name__}: {printable(error, 500)}"


def foreign_connection(host: Any) -> ForeignConnection:
    """Return a connection over a Testinfra host.

    Raises:
        TypeError: it is not one.
    """
    if not isinstance(host, testinfra.host.Host):
        raise TypeError(f"a Testinfra host, or a host spec such as ssh://root@kvm-a, is needed, not {type(host)}")
    return ForeignConnection(host)
