"""An SSH server that fails at one step. paramiko's server side speaks; its client side is what is tested."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import paramiko
from typing_extensions import override

from nested_kvm.inventory.address import Address

Behaviour = Callable[[paramiko.Channel], None]


@dataclass
class MisbehavingServer(paramiko.ServerInterface):
    """Accepts every key, on a port of loopback, and then misbehaves as configured, for every visitor."""

    drops: int = 0
    """How many visitors it closes the door on before it lets one in."""
    hangs_at_login: bool = False
    hangs_at_channel: bool = False
    hangs_at_execution: bool = False
    refuses_channel: bool = False
    refuses_execution: bool = False
    answer: Behaviour | None = None
    """What it does in place of the command that it is asked to run; the channel is closed after that."""
    asked: list[str] = field(default_factory=list)
    """What visitors asked for, once they were in."""

    def __enter__(self) -> Self:
        self.host_key = paramiko.ECDSAKey.generate()
        self._released = threading.Event()
        self.visitors = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> Address:
        return Address.parse(f"ssh://root@127.0.0.1:{self.port}")

    @property
    def known_hosts(self) -> str:
        return f"[127.0.0.1]:{self.port} {self.host_key.get_name()} {self.host_key.get_base64()}\n"

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                visitor, _ = self._listener.accept()
                self.visitors += 1
                if self.visitors <= self.drops:
                    visitor.close()
                else:
                    self._start(self._serve, visitor)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _serve(self, visitor: socket.socket) -> None:
        transport = paramiko.Transport(visitor)
        transport.add_server_key(self.host_key)
        with suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=self)
            while transport.is_active() and not self._released.wait(0.02):
                pass
        transport.close()
        transport.join()

    def _answer(self, channel: paramiko.Channel, behaviour: Behaviour) -> None:
        with suppress(OSError, EOFError, paramiko.SSHException):
            # The thread that hears the reply to this is the one that grants the request first.
            channel.get_transport().global_request("granted", wait=True)
            behaviour(channel)
        with suppress(OSError, EOFError, paramiko.SSHException):
            channel.close()

    @override
    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if self.hangs_at_login:
            self._released.wait(60)
        return paramiko.AUTH_SUCCESSFUL  # type: ignore[attr-defined,no-any-return,unused-ignore]

    @override
    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    @override
    def check_channel_request(self, kind: str, chanid: int) -> int:
        self.asked.append(kind)
        if self.hangs_at_channel:
            self._released.wait(60)
        refused = paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED  # type: ignore[attr-defined]
        accepted = paramiko.OPEN_SUCCEEDED  # type: ignore[attr-defined]
        return int(refused if self.refuses_channel else accepted)

    @override
    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.asked.append("exec")
        if self.hangs_at_execution:
            self._released.wait(60)
        if self.answer is not None and not self.refuses_execution:
            self._start(self._answer, channel, self.answer)
        return not self.refuses_execution

    @override
    def check_channel_forward_agent_request(self, channel: paramiko.Channel) -> bool:
        self.asked.append("agent")
        return True

    @override
    def check_channel_x11_request(
        self,
        channel: paramiko.Channel,
        single_connection: bool,
        auth_protocol: str,
        auth_cookie: bytes,
        screen_number: int,
    ) -> bool:
        self.asked.append("x11")
        return True
