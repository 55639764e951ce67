"""QEMU's monitor sends events between answers, refuses commands, and ends with QEMU."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.errors import HostLostError
from lab.monitor import Monitor

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
DONE = b'{"return": {}}\n'
Serve = Callable[..., Path]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A socket that answers each line it reads with the next of some texts, and then closes."""
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "monitor.sock"
    threads: list[threading.Thread] = []

    def start(*answers: bytes) -> Path:
        listener.bind(str(path))
        listener.listen()
        threads.append(threading.Thread(target=answer, args=(listener, answers)))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join(10)
    listener.close()


def answer(listener: socket.socket, answers: tuple[bytes, ...]) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb", buffering=0) as lines:
        lines.write(GREETING)
        for text in answers:
            lines.readline()
            lines.write(text)


def test_an_event_is_not_taken_for_an_answer(serve: Serve) -> None:
    path = serve(DONE, b'{"event": "STOP"}\n{"return": {"status": "paused"}}\n')
    with Monitor(path) as monitor:
        assert monitor.execute("query-status") == {"status": "paused"}


def test_a_refused_command_is_an_error(serve: Serve) -> None:
    path = serve(DONE, b'{"error": {"class": "GenericError", "desc": "no such device"}}\n')
    with Monitor(path) as monitor, pytest.raises(HostLostError, match="QEMU refused migrate: no such device"):
        monitor.execute("migrate")


def test_an_emulator_that_ends_during_a_command_is_an_error(serve: Serve) -> None:
    path = serve(DONE, b"")
    with Monitor(path) as monitor, pytest.raises(HostLostError, match="closed its monitor during stop"):
        monitor.execute("stop")
