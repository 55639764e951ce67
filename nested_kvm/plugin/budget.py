"""A limit around evaluating each target: what a hostile target answers costs that target, not the audit."""

import atexit
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
_TICK: Final = 0.1
"""Seconds of CPU time after which the time that is left is read again: a limit is enforced that much later at most."""
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
        outer = _ALARM.set(started + left, lambda: self._exceeded(target))
        try:
            yield
        finally:
            _ALARM.restore(outer)
            self._spent[target] = self._spent.get(target, 0.0) + time.thread_time() - started
        if self._spent[target] >= self._seconds:
            raise self._exceeded(target)  # A check that caught the error has not decided anything.

    def is_exceeded(self, target: str) -> bool:
        """Whether the time of that target has ended, also where a check caught the error."""
        return self._spent.get(target) == inf

    def _exceeded(self, target: str) -> LimitExceeded:
        self._spent[target] = inf
        return LimitExceeded(f"{target}: evaluating its evidence took more than {self._seconds:g} s of CPU time")


_Limit = tuple[float, Callable[[], LimitExceeded]]
"""When it ends, by `time.thread_time`, and what is raised then."""


class _Alarm:
    """Interrupts the main thread once it has used its CPU time.

    It reads the time in the ticks of a timer, which goes on from one limit to the next and ends at a tick without a
    limit: starting it for each limit would cost more than evaluating a control. The timer counts the CPU time of all
    threads, which observe other targets meanwhile.
    """

    def __init__(self) -> None:
        self._limit: _Limit | None = None

    def set(self, ends_at: float, error: Callable[[], LimitExceeded]) -> _Limit | None:
        """Set the limit, and return the one until now; only the main thread can be interrupted."""
        outer = self._limit
        if threading.current_thread() is threading.main_thread():
            self._limit = ends_at, error
            if not self._is_ticking():
                signal.signal(signal.SIGPROF, self._tick)
                signal.setitimer(signal.ITIMER_PROF, _TICK, _TICK)
        return outer

    def restore(self, outer: _Limit | None) -> None:
        """Return to an earlier limit; None: to none."""
        if threading.current_thread() is threading.main_thread():
            self._limit = outer

    def stop(self) -> None:
        """Stop the timer, if it is ours: Python gives its signals back before it ends, and SIGPROF would kill it."""
        if signal.getsignal(signal.SIGPROF) == self._tick:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _is_ticking(self) -> bool:
        """Whether the timer runs as it was started; a check's own profiler may have taken it."""
        left, _ = signal.getitimer(signal.ITIMER_PROF)
        return 0 < left <= _AGAIN and signal.getsignal(signal.SIGPROF) == self._tick

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        if self._limit is None:
            signal.setitimer(signal.ITIMER_PROF, 0)
            return
        ends_at, error = self._limit
        if time.thread_time() >= ends_at:
            signal.setitimer(signal.ITIMER_PROF, _AGAIN, _TICK)
            raise error()


_ALARM: Final = _Alarm()
atexit.register(_ALARM.stop)
