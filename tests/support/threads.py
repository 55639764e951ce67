"""What a test leaves running."""

import threading
import time
from collections.abc import Collection
from threading import Thread

_SECONDS_TO_END = 30.0
"""For a machine that is busy: a thread that is left over does not end by then either."""


def threads_but(known: Collection[Thread]) -> list[Thread]:
    """Return the threads that began since these were all; those may end meanwhile, as an earlier test's do."""
    return [each for each in threading.enumerate() if each not in known]


def threads_have_ended(known: Collection[Thread]) -> bool:
    """Return whether all threads but the known ones have ended, or soon have: ending one takes a moment."""
    end = time.monotonic() + _SECONDS_TO_END
    while threads_but(known) and time.monotonic() < end:
        time.sleep(0.01)
    return not threads_but(known)
