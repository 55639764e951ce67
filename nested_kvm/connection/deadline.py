"""A deadline that several steps share, and a timer that ends a call without a time limit."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Deadline:
    """A deadline, `seconds` after it was created."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """The seconds left, never below zero."""
        return max(0.0, self._end - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining == 0.0


@dataclass(eq=False)
class _Alarm:
    due: float
    """By `time.monotonic`."""
    act: Callable[[], None]
    acting: threading.Thread | None = None


class _AlarmClock:
    """One thread for all alarms, as long as there are any: one for each costs as much as reading an answer."""

    def __init__(self) -> None:
        self._alarms: set[_Alarm] = set()
        self._wakes_at = math.inf
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def set(self, due: float, act: Callable[[], None]) -> _Alarm:
        """Have `act` called, in a separate thread, when it is due."""
        alarm = _Alarm(due, act)
        with self._changed:
            self._alarms.add(alarm)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()
            elif due < self._wakes_at:
                self._changed.notify()
        return alarm

    def cancel(self, alarm: _Alarm) -> None:
        """Forget an alarm; where it is acting already, wait until it has."""
        with self._changed:
            self._alarms.discard(alarm)
            if not self._alarms:
                self._changed.notify()
        if alarm.acting is not None:
            alarm.acting.join()

    def _watch(self) -> None:
        with self._changed:
            while self._alarms:
                now = time.monotonic()
                for alarm in [each for each in self._alarms if each.due <= now]:
                    self._alarms.remove(alarm)
                    alarm.acting = threading.Thread(target=alarm.act, daemon=True)
                    alarm.acting.start()
                self._wakes_at = min((each.due for each in self._alarms), default=math.inf)
                if self._alarms:
                    self._changed.wait(max(0.0, self._wakes_at - now))
            self._thread = None


_CLOCK = _AlarmClock()


@contextmanager
def closing_at(deadline: Deadline, close: Callable[[], None], *, grace: float = 0.0) -> Iterator[None]:
    """Call `close` from another thread, `grace` seconds after `deadline`, if the block still runs then."""
    alarm = _CLOCK.set(time.monotonic() + deadline.remaining + grace, close)
    try:
        yield
    finally:
        _CLOCK.cancel(alarm)
