"""A network's round trip in front of an sshd that is on this machine.

    python -m bench.delay LISTEN_PORT TARGET_PORT RTT_MS

Listens on every address of loopback, and carries what comes to one of them to the same address at the target's port,
half a round trip later. A visitor's connect() is answered by this machine's kernel at once, so its handshake is
charged here: sshd sees the visitor one and a half round trips later, and its first byte arrives after two.
asyncio wakes by the millisecond, so each direction takes up to one longer.
"""

import asyncio
import gc
import math
import resource
import socket
import sys
from collections.abc import Callable
from typing import Final, cast

from typing_extensions import override

_BACKLOG: Final = 4096
_ANY: Final = "0.0.0.0"  # noqa: S104 - a network namespace that has loopback alone


class Direction:
    """What goes one way: each piece comes out `delay` seconds after it went in, and never before an earlier one."""

    def __init__(self, delay: float, *, opens_at: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay, self._last = delay, opens_at

    def later(self, action: Callable[..., None], *arguments: object) -> None:
        """Do it when it is due; asyncio keeps no order between calls of one instant, so each has its own."""
        due = max(self._loop.time() + self._delay, math.nextafter(self._last, math.inf))
        self._last = due
        self._loop.call_at(due, action, *arguments)


class End(asyncio.Protocol):
    """One of the two connections of a visit. What arrives here is passed to the `other` end, later."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._is_over = False
        self.other: End | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.writelines(self._early)
        if self._is_over:
            self.close()

    @override
    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self._direction.later(self.other.send, data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self._direction.later(self.other.close)

    def send(self, data: bytes) -> None:
        """Send it, or once there is a connection."""
        if self._transport is None:
            self._early.append(data)
        elif not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Send what is left, and end it."""
        self._is_over = True
        if self._transport is not None:
            self._transport.close()


class Door(End):
    """Where a visitor comes in."""

    def __init__(self, target_port: int, rtt: float) -> None:
        self._handshake = 1.5 * rtt
        super().__init__(Direction(rtt / 2, opens_at=asyncio.get_running_loop().time() + self._handshake))
        self._target_port = target_port
        self._inner = self.other = End(Direction(rtt / 2))
        self._inner.other = self

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._opening = asyncio.ensure_future(self._open(transport.get_extra_info("sockname")[0]))

    async def _open(self, address: str) -> None:
        await asyncio.sleep(self._handshake)
        try:
            # From the host's own address: by port alone the hosts' log could not distinguish visitors.
            await asyncio.get_running_loop().create_connection(
                lambda: self._inner, address, self._target_port, local_addr=(address, 0)
            )
        except OSError:
            self.close()


async def serve(listen_port: int, target_port: int, rtt: float, address: str = _ANY) -> None:
    """Carry visitors until the process ends. `rtt` is in seconds."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Door(target_port, rtt), address, listen_port, backlog=_BACKLOG)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2
    )  # two for a visitor
    gc.disable()  # a pause would add a delay
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
