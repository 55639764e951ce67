"""Under `--nagios`, a process that ends without an answer ends as UNKNOWN.

Otherwise (an unknown option, a crash, a file that pytest cannot import) pytest's own exit status would be read as OK or
WARNING, or be out of range.
"""

import atexit
import os
import sys
from typing import Final

UNKNOWN: Final = 3
_NO_ANSWER: Final = "NESTED-KVM UNKNOWN - the run ended without an answer: see standard error"


class Guard:
    """The answer of one process: the first one that is given."""

    def __init__(self) -> None:
        self._status: int | None = None
        self._is_armed = False

    def arm(self) -> None:
        """From here on only an answer decides the exit status."""
        if not self._is_armed:
            atexit.register(self._end)
        self._is_armed = True

    def answer(self, status: int, text: str) -> None:
        """Print the answer and remember its exit status; later answers are ignored."""
        if self._status is not None:
            return
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        self._status = status

    def _end(self) -> None:
        if self._status is None:
            self.answer(UNKNOWN, _NO_ANSWER)
        sys.stderr.flush()
        # The only way to set the exit status while the interpreter shuts down.
        os._exit(UNKNOWN if self._status is None else self._status)


def asks_for_nagios() -> bool:
    """Whether the command line, or PYTEST_ADDOPTS, has `--nagios`."""
    return "--nagios" in sys.argv or "--nagios" in os.environ.get("PYTEST_ADDOPTS", "").split()


GUARD: Final = Guard()
"""The guard of this process."""
