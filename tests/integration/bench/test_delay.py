"""The proxy that makes a round trip: late, in order, and whole."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.delay import serve
from tests.support.sshd import free_port

RTT = 0.1
SLACK = 0.08  # of a busy machine
GREETING = b"greeting"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def through_the_proxy(talk: Talk) -> None:
    """Talk with a server that greets, and then sends back what it gets, until the visitor leaves."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(data)
        await closed(writer)

    async def run() -> None:
        door, inside = free_port(), free_port()
        async with await asyncio.start_server(answer, "127.0.0.1", inside):
            proxy = asyncio.create_task(serve(door, inside, RTT, "127.0.0.1"))
            await asyncio.sleep(0.05)
            reader, writer = await asyncio.open_connection("127.0.0.1", door)
            await talk(reader, writer)
            await closed(writer)
            await asyncio.sleep(3 * RTT)  # until the server knows
            proxy.cancel()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_the_first_byte_takes_two_round_trips_and_each_answer_one_more() -> None:
    waits = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for question in (b"", b"again!!!"):
            started = time.monotonic()
            writer.write(question)
            await reader.readexactly(len(GREETING))
            waits.append(time.monotonic() - started)

    through_the_proxy(talk)
    assert 2 * RTT <= waits[0] < 2 * RTT + SLACK
    assert RTT <= waits[1] < RTT + SLACK


def test_what_is_sent_before_the_door_opens_arrives_whole_and_in_order() -> None:
    pieces = [f"{number:05}".encode() for number in range(2000)]
    got = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        got.append(await reader.readexactly(len(GREETING) + 5 * len(pieces)))

    through_the_proxy(talk)
    assert got == [GREETING + b"".join(pieces)]


def test_the_end_comes_through_as_well() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(GREETING))
        writer.write_eof()
        assert await reader.read() == b""

    through_the_proxy(talk)
