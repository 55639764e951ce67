"""What a test leaves running."""

import threading
import time

_SECONDS_TO_END = 1.0


def threads_are_back_at(count: int) -> bool:
    """Return whether there are `count` threads, or soon are: ending one takes a moment."""
    end = time.monotonic() + _SECONDS_TO_END
    while threading.active_count() != count and time.monotonic() < end:
        time.sleep(0.01)
    return threading.active_count() == count
