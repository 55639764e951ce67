"""A target whose evidence takes too long to evaluate costs that target, not the audit."""

import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from nested_kvm.errors import LimitExceeded, ObservationError
from nested_kvm.plugin.budget import EvaluationBudget

SLOW = re.compile(r"(a|aa)+$")


def burn() -> None:
    SLOW.match("a" * 60 + "b")


def test_an_evaluation_is_ended_inside_a_regular_expression() -> None:
    budget = EvaluationBudget(0.2)
    started = time.process_time()
    with pytest.raises(LimitExceeded, match=r"kvm-a: .* more than 0\.2 s of CPU time"), budget.of("kvm-a"):
        burn()
    assert time.process_time() - started < 5


def test_the_same_target_gets_no_more_time_and_another_does() -> None:
    budget = EvaluationBudget(0.2)
    with pytest.raises(LimitExceeded), budget.of("kvm-a"):
        burn()
    evaluated = []
    with pytest.raises(LimitExceeded), budget.of("kvm-a"):
        evaluated.append("kvm-a")
    with budget.of("kvm-b"):
        evaluated.append("kvm-b")
    assert evaluated == ["kvm-b"]


def test_a_check_that_catches_the_error_does_not_pass() -> None:
    def look_twice() -> None:
        for _ in range(2):
            try:
                burn()
            except ObservationError:
                continue

    with pytest.raises(LimitExceeded), EvaluationBudget(0.2).of("kvm-a"):
        look_twice()


def test_one_timer_serves_one_limit_after_the_other_and_ends_without_any() -> None:
    budget = EvaluationBudget()
    for target in ("kvm-a", "kvm-b"):
        with budget.of(target):
            pass
        assert any(signal.getitimer(signal.ITIMER_PROF))
    until = time.process_time() + 5
    while any(signal.getitimer(signal.ITIMER_PROF)):
        assert time.process_time() < until
        sum(range(1000))


@pytest.mark.parametrize("seconds", [0.05, 1000])
@pytest.mark.parametrize("is_taken", [True, False])
def test_a_profiler_that_took_the_timer_does_not_switch_the_limit_off(seconds: float, *, is_taken: bool) -> None:
    with EvaluationBudget().of("kvm-a"):
        if is_taken:
            signal.signal(signal.SIGPROF, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
    reached_the_end = []

    def loop() -> None:
        until = time.process_time() + 3
        while time.process_time() < until:
            sum(range(1000))
        reached_the_end.append(True)

    with pytest.raises(LimitExceeded, match="kvm-b"), EvaluationBudget(0.2).of("kvm-b"):
        loop()
    assert not reached_the_end


def test_an_inner_limit_leaves_the_outer_one_in_force() -> None:
    def evaluate_another_first() -> None:
        with EvaluationBudget().of("kvm-b"):
            pass
        burn()

    with pytest.raises(LimitExceeded, match="kvm-a"), EvaluationBudget(0.2).of("kvm-a"):
        evaluate_another_first()


def test_what_other_threads_take_meanwhile_does_not_count() -> None:
    ended = threading.Event()

    def busy() -> None:
        while not ended.is_set():
            sum(range(1000))

    others = [threading.Thread(target=busy) for _ in range(2)]
    for each in others:
        each.start()
    try:
        with EvaluationBudget(0.2).of("kvm-a"):
            until = time.process_time() + 0.5
            while time.process_time() < until:
                time.sleep(0.01)
        assert time.process_time() >= until, "the others took more than the budget, and nothing was raised"
    finally:
        ended.set()
        for each in others:
            each.join()


SLOW_END = """
import time
from nested_kvm.plugin.budget import EvaluationBudget

class Kept:
    def __del__(self, clock=time.process_time):
        ends_at = clock() + 0.5
        while clock() < ends_at:
            pass

kept = Kept()
with EvaluationBudget().of("kvm-a"):
    pass
"""


def test_the_timer_does_not_kill_the_process_while_it_ends() -> None:
    """Python has given its signals back when it deletes the objects of modules."""
    done = subprocess.run([sys.executable, "-c", SLOW_END], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
