"""An SSH server that fails at one step. paramiko's server side speaks; its client side is what is tested."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import paramiko
from typing_extensions import override

from nested_kvm.inventory.address import Address


@dataclass
class MisbehavingServer(paramiko.ServerInterface):
    """Lets every key in, on a port of loopback, and then does what it is told to."""

    hangs_at_login: bool = False
    hangs_at_channel: bool = False
    hangs_at_execution: bool = False
    refuses_execution: bool = False

    def __enter__(self) -> Self:
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join()
        self._listener.close()

    @property
    def address(self) -> Address:
        return Address.parse(f"ssh://root@127.0.0.1:{self._listener.getsockname()[1]}")

    def _serve(self) -> None:
        visitor, _ = self._listener.accept()
        transport = paramiko.Transport(visitor)
        transport.add_server_key(paramiko.ECDSAKey.generate())
        with suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=self)
            self._released.wait(10)
        transport.close()
        transport.join()

    @override
    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if self.hangs_at_login:
            self._released.wait(10)
        return paramiko.AUTH_SUCCESSFUL  # type: ignore[attr-defined,no-any-return,unused-ignore]

    @override
    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    @override
    def check_channel_request(self, kind: str, chanid: int) -> int:
        if self.hangs_at_channel:
            self._released.wait(10)
        return paramiko.OPEN_SUCCEEDED  # type: ignore[attr-defined,no-any-return,unused-ignore]

    @override
    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if self.hangs_at_execution:
            self._released.wait(10)
        return not self.refuses_execution
