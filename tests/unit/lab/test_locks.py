"""Locks between labs: one waits for the other, or is told at once."""

import fcntl
import threading
from pathlib import Path

import pytest

from lab.locks import locked


def test_who_does_not_wait_is_told_that_another_holds_it(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), pytest.raises(BlockingIOError), locked(tmp_path / "lock", fcntl.LOCK_NB):
        pass
    with locked(tmp_path / "lock", fcntl.LOCK_NB):
        pass


def test_who_waits_says_so_and_comes_after_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = []

    def wait() -> None:
        with locked(tmp_path / "lock", waiting="another lab is starting"):
            order.append("second")

    with locked(tmp_path / "lock"):
        second = threading.Thread(target=wait)
        second.start()
        second.join(0.3)
        order.append("first")
    second.join()
    assert order == ["first", "second"]
    assert "another lab is starting" in "".join(capsys.readouterr())


def test_a_lock_that_is_free_is_taken_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(tmp_path / "lock", waiting="another lab is starting"):
        pass
    assert "".join(capsys.readouterr()) == ""
