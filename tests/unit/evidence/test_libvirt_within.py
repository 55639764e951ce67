"""A libvirt that is slow to describe itself costs its capabilities, and nothing else."""

import threading

from nested_kvm.evidence.libvirt.rpc import _within


def test_an_answer_in_time_is_taken() -> None:
    assert _within(60, lambda: "<capabilities/>", OSError) == ("<capabilities/>", False)


def test_a_refusal_is_no_answer() -> None:
    def refuse() -> str:
        raise PermissionError

    assert _within(60, refuse, OSError) == (None, False)


def test_one_that_takes_too_long_is_left_behind() -> None:
    may_answer = threading.Event()

    def wait() -> str:
        may_answer.wait(60)
        return "late"

    assert _within(0.05, wait, OSError) == (None, True)
    may_answer.set()
