"""A limit around evaluating each target: what a hostile target answers costs that target, not the audit."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType
from typing import Final

from nested_kvm.errors import LimitExceeded

SECONDS: Final = 20.0
"""CPU time for all controls of one target; one takes milliseconds."""
_PRECISION: Final = 0.01
"""Seconds: of the timer, the kernel's tick."""
_AGAIN: Final = 1.0
"""Seconds after which the limit is enforced again, where a check caught the first error."""


class EvaluationBudget:
    """The CPU time that is left for each target."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._spent: dict[str, float] = {}

    @contextmanager
    def of(self, target: str) -> Iterator[None]:
        """Around everything that is computed from the evidence of a target, or by one check of a site's own.

        Raises:
            LimitExceeded: it took too long, or there is no time left.
        """
        left = self._seconds - self._spent.get(target, 0.0)
        if left <= 0:
            raise self._exceeded(target)
        started = time.thread_time()
        try:
            with _ALARM.limited(left, lambda: self._exceeded(target)):
                yield
        finally:
            self._spent[target] = self._spent.get(target, 0.0) + time.thread_time() - started
        if self._spent[target] >= self._seconds:
            raise self._exceeded(target)  # A check that caught the error has not decided anything.

    def _exceeded(self, target: str) -> LimitExceeded:
        self._spent[target] = inf
        return LimitExceeded(f"{target}: evaluating its evidence took more than {self._seconds:g} s of CPU time")


class _Alarm:
    """The process's timer of CPU time. Its handler stays once it was set: setting it costs more than the timer.

    It also counts what other threads take, which observe other targets meanwhile: then it goes on.
    """

    def __init__(self) -> None:
        self._error: Callable[[], LimitExceeded] | None = None
        self._ends_at = 0.0
        """By `time.thread_time`."""

    @contextmanager
    def limited(self, seconds: float, error: Callable[[], LimitExceeded]) -> Iterator[None]:
        """Raise the error when this thread has used that much CPU time; only the main thread can be interrupted."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        if signal.getsignal(signal.SIGPROF) != self._end:
            signal.signal(signal.SIGPROF, self._end)
        outer, self._error = (self._error, self._ends_at), error
        self._ends_at = time.thread_time() + seconds
        signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self._error, self._ends_at = outer

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        if self._error is None:
            return
        left = self._ends_at - time.thread_time()
        if left > _PRECISION:
            signal.setitimer(signal.ITIMER_PROF, left, _AGAIN)
            return
        raise self._error()


_ALARM: Final = _Alarm()
