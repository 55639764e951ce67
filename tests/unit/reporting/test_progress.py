"""A step that takes long shows how far it is; a short one shows nothing."""

import time
from io import StringIO

import pytest

from nested_kvm.reporting.progress import PATIENCE, SlowProgress


class Terminal(StringIO):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("kind", [StringIO, Terminal])
def test_what_is_over_soon_says_nothing(clock: list[float], kind: type[StringIO]) -> None:
    file = kind()
    with SlowProgress("reading", 100, file) as progress:
        for _ in range(100):
            clock[0] += PATIENCE / 101
            progress.advance(1)
    assert file.getvalue() == ""


def test_a_log_gets_a_few_lines(clock: list[float]) -> None:
    file = StringIO()
    with SlowProgress("reading", 1000, file) as progress:
        for _ in range(1000):
            clock[0] += PATIENCE / 100
            progress.advance(1)
    lines = file.getvalue().splitlines()
    assert (len(lines), lines[-1]) == (10, "reading: 100 %")


def test_it_does_not_stand_behind_what_stands_there(clock: list[float]) -> None:
    file = StringIO("....")
    file.seek(0, 2)
    with SlowProgress("writing", 1, file, on_a_new_line=True) as progress:
        clock[0] += PATIENCE
        progress.advance(1)
    assert file.getvalue() == "....\nwriting: 100 %\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    with SlowProgress("reading", 2, file) as progress:
        clock[0] += PATIENCE
        progress.advance(1)
    assert "reading" in file.getvalue()
