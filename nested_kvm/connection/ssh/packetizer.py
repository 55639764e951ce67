"""paramiko's packet reader with limits, so that a machine cannot fill our memory."""

from typing import Any

import paramiko
import paramiko.packet
from typing_extensions import override

PACKET_LIMIT = 256 * 1024
"""Bytes: OpenSSH's own limit (packet.c, PACKET_MAX_SIZE). paramiko allows what four bytes can announce: 4 GiB."""
_AHEAD = 32 * 1024
"""Bytes."""
BEFORE_SSH_LIMIT = 64 * 1024
"""Bytes before the first packet: banner lines and the version (RFC 4253, section 4.2)."""


class ReadAhead:
    """A connection of which is received as much as has arrived: paramiko asks for each packet twice."""

    def __init__(self, carrier: Any) -> None:
        self._carrier = carrier
        self._data = b""
        self._given = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._carrier, name)

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes, as a socket does; only one thread may call it."""
        if self._given == len(self._data):
            self._data, self._given = self._carrier.recv(_AHEAD), 0
        data = self._data[self._given : self._given + size]
        self._given += len(data)
        return data


class Packetizer(paramiko.packet.Packetizer):
    """paramiko's packetizer with limits."""

    _before_ssh = 0

    @override
    def start_handshake(self, timeout: float) -> None:
        """Start no timer, which is a thread for each connection: the deadline of connecting ends a handshake."""

    @override
    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        if n > PACKET_LIMIT:
            raise paramiko.SSHException(f"it announces a packet of {n} bytes")
        return super().read_all(n, check_rekey)

    def _read_timeout(self, timeout: float) -> bytes:
        data: bytes = super()._read_timeout(timeout)  # type: ignore[misc]  # the stubs leave it out
        self._before_ssh += len(data)
        if self._before_ssh > BEFORE_SSH_LIMIT:
            raise paramiko.SSHException(f"it sends more than {BEFORE_SSH_LIMIT} bytes before it speaks SSH")
        return data


def feed(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Buffer standard output that arrived for a channel."""
    _require_room(channel)
    channel._feed(message)  # type: ignore[attr-defined]  # noqa: SLF001  # paramiko's own handler


def feed_extended(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Buffer standard error that arrived for a channel."""
    _require_room(channel)
    channel._feed_extended(message)  # type: ignore[attr-defined]  # noqa: SLF001  # paramiko's own handler


def _require_room(channel: paramiko.Channel) -> None:
    """Refuse more data than fits the channel's window: paramiko would buffer any amount."""
    if len(channel.in_buffer) + len(channel.in_stderr_buffer) > channel.in_window_size + PACKET_LIMIT:
        raise paramiko.SSHException("it sends more than it was allowed to")
