"""A deadline that several steps share, and a timer that ends a call without a time limit."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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


@contextmanager
def closing_at(deadline: Deadline, close: Callable[[], None], *, grace: float = 0.0) -> Iterator[None]:
    """Call `close` from another thread, `grace` seconds after `deadline`, if the block still runs then."""
    timer = threading.Timer(deadline.remaining + grace, close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
