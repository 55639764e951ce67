"""paramiko's transport and channel, made safe for many channels that end while others go on.

paramiko decides under a lock that a channel is open, and sends its data after the lock is gone. If the
channel is closed in between, by either side, data follows the close: OpenSSH ends the whole connection for
that ("data packet referred to nonexistent channel", channels.c), and every guest behind the host is lost.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paramiko
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA
from paramiko.message import Message
from typing_extensions import override

from nested_kvm.connection.ssh.certificate import SUFFIX
from nested_kvm.connection.ssh.packetizer import Packetizer, ReadAhead, feed, feed_extended
from nested_kvm.connection.ssh.proxy_command import ProxyCommand

Carrier = socket.socket | paramiko.Channel | ProxyCommand
"""What an SSH connection runs over."""

TRANSPORT_ERRORS = (paramiko.SSHException, EOFError, OSError)
"""The exceptions that paramiko's calls raise when a connection breaks."""

_JOIN_SECONDS = 2.0
_WAKES = 1.0
"""Seconds after which a thread that reads from a socket looks whether it was closed; closing it wakes it anyway."""


class Channel(paramiko.Channel):
    """A channel that sends nothing once it is closed, and closes without raising."""

    transport: "Transport"

    def _send(self, s: bytes, m: Message) -> int:
        with self.transport.speaking_for(self):
            sent: int = super()._send(s, m)  # type: ignore[misc]  # the stubs leave it out
            return sent

    @override
    def recv(self, nbytes: int) -> bytes:
        with self.transport.speaking_for(self):
            return super().recv(nbytes)

    @override
    def recv_stderr(self, nbytes: int) -> bytes:
        with self.transport.speaking_for(self):
            return super().recv_stderr(nbytes)

    @override
    def shutdown(self, how: int) -> None:
        with self.transport.speaking_for(self):
            super().shutdown(how)

    @override
    def close(self) -> None:
        with suppress(*TRANSPORT_ERRORS):
            super().close()


class Transport(paramiko.Transport):
    """paramiko's transport with limits and uniform errors, and with nothing left over when it is closed."""

    _channel_handler_table = {  # noqa: RUF012  # as in the base class
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]  # noqa: SLF001  # the stubs leave it out
        MSG_CHANNEL_DATA: feed,
        MSG_CHANNEL_EXTENDED_DATA: feed_extended,
    }

    def __init__(self, sock: Carrier) -> None:
        super().__init__(ReadAhead(sock), packetizer_class=Packetizer)  # type: ignore[arg-type]  # it takes whatever has a socket's methods
        self.sock = sock  # type: ignore[assignment]  # as above
        if isinstance(sock, socket.socket):
            sock.settimeout(_WAKES)  # paramiko's own 0.1 s wakes every thread ten times a second
        self.wants_certificate = False
        """Whether an authority for the host is known. Else its bare key is requested."""
        self._speaker = threading.local()
        self._order = threading.Lock()

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The algorithms by which the host may prove itself."""
        bare: tuple[str, ...] = self._filter_algorithm("keys")
        return (*(f"{name}{SUFFIX}" for name in bare), *bare) if self.wants_certificate else bare

    def _filter_algorithm(self, kind: str) -> tuple[str, ...]:
        """Return the preferred algorithms of a kind; none is disabled, and they are asked for 16 times."""
        return tuple(getattr(self, f"_preferred_{kind}"))

    def _log(self, level: int, message: object, *arguments: object) -> None:
        """Log nothing: what ended a connection is in our errors."""

    def _parse_debug(self, message: Message) -> None:
        """Ignore a message for a log: OpenSSH sends one for each login, and paramiko would print its every letter."""

    @contextmanager
    def speaking_for(self, channel: paramiko.Channel) -> Iterator[None]:
        """Set the channel whose packets this thread sends."""
        self._speaker.channel = channel
        try:
            yield
        finally:
            self._speaker.channel = None

    def _send_user_message(self, data: Message) -> None:
        """Send a packet unless its channel has been closed meanwhile.

        A channel is marked as closed before its close is sent. So a packet whose channel is still open here, where
        packets are sent one after the other, precedes that close.
        """
        channel = getattr(self._speaker, "channel", None)
        with self._order:
            if channel is None or not channel.closed:
                super()._send_user_message(data)  # type: ignore[misc]  # the stubs leave it out

    @override
    def open_channel(self, *args: Any, **kwargs: Any) -> paramiko.Channel:
        channel = super().open_channel(*args, **kwargs)
        channel.__class__ = Channel  # paramiko has no option for the class
        return channel

    @override
    def get_exception(self) -> Exception | None:
        """Return what ended the connection. A malformed packet makes paramiko's thread fail in any way."""
        error = super().get_exception()
        if error is None or isinstance(error, TRANSPORT_ERRORS):
            return error
        return paramiko.SSHException(f"it breaks the SSH protocol ({error})")

    @override
    def close(self) -> None:
        with suppress(*TRANSPORT_ERRORS):
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
        super().close()
        self.packetizer.complete_handshake()  # ends the timer of a handshake that never was
        self.sock.close()
        if self.is_alive() and self is not threading.current_thread():
            self.join(_JOIN_SECONDS)
