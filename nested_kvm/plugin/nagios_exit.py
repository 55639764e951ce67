"""Fails closed under `--nagios`: a process that ends without its answer ends as UNKNOWN.

Whatever else ends it (an unknown option, a crash, a file that pytest cannot import), pytest's own exit status would be
read as OK or WARNING, or be out of bounds.
"""

import atexit
import os
import sys
from typing import Final

UNKNOWN: Final = 3
_NO_ANSWER: Final = "NESTED-KVM UNKNOWN - the run ended without an answer: see its standard error"


class Guard:
    """One process' answer: the first one that is given."""

    def __init__(self) -> None:
        self._status: int | None = None

    def arm(self) -> None:
        """From here on only an answer decides how the process ends."""
        atexit.register(self._end)

    def answer(self, status: int, text: str) -> None:
        """Print the answer, and remember the status that it stands for; only the first one counts."""
        if self._status is not None:
            return
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        self._status = status

    def _end(self) -> None:
        if self._status is None:
            self.answer(UNKNOWN, _NO_ANSWER)
        sys.stderr.flush()
        # The only way to set the status of an interpreter that is ending.
        os._exit(UNKNOWN if self._status is None else self._status)


GUARD: Final = Guard()
"""This process'."""
