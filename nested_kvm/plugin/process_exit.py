"""The exit status of a process that could not give an answer: never that of a compliant run, nor of a finding.

pytest's own status of an exception that ends the process is 1, a finding's; Nagios would read it as WARNING. And what
standard output did not take was never read by anyone.
"""

import atexit
import errno
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

UNKNOWN: Final = 3
_INTERNAL_ERROR: Final = 3
_USAGE: Final = 4
_NO_ANSWER: Final = "NESTED-KVM UNKNOWN - the run ended without an answer: see standard error"


class Guard:
    """What one process came to, beside pytest's own exit status; under `--nagios` the first answer that is given."""

    def __init__(self) -> None:
        self._status: int | None = None
        self._is_watching = False
        self._needs_answer = False
        self._is_broken = False
        self._lost: str | None = None

    def watch(self, *, needs_answer: bool) -> None:
        """From here on an exception or a lost output decides the exit status; with `needs_answer` only an answer does.

        A standard stream that is closed is replaced by one that leads nowhere: pytest does not expect that.
        """
        self._needs_answer = self._needs_answer or needs_answer
        if self._is_watching:
            return
        self._is_watching = True
        if sys.stdout is None:
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process lives
            self._lost = "it is closed"
        if sys.stderr is None:
            sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as above
        sys.excepthook = self._end_as_broken
        atexit.register(self._end)

    def answer(self, status: int, text: str) -> None:
        """Print the answer and remember its exit status; later answers are ignored."""
        if self._status is not None:
            return
        self._status = status
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except OSError as error:
            self.lose(error)
        if self._lost is not None:
            self._status = UNKNOWN

    def lose(self, error: OSError) -> None:
        """Take note that standard output was not written. A reader that goes away, as with `| head`, wants no more."""
        if error.errno != errno.EPIPE:
            self._lost = error.strerror or str(error)
        _empty_standard_output()

    def _end_as_broken(self, kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, frames)
            return
        self._is_broken = True
        last = (traceback.extract_tb(frames) or [None])[-1]
        place = "" if last is None else f" ({Path(last.filename).name}:{last.lineno})"
        _complain(f"the run broke: {kind.__name__}: {error}{place}")

    def _end(self) -> None:
        try:
            sys.stdout.flush()
        except OSError as error:
            self.lose(error)
        if self._needs_answer and self._status is None:
            self.answer(UNKNOWN, _NO_ANSWER)
        if self._lost is not None and not self._is_broken:
            _complain(f"standard output was not written: {self._lost}")
        status = self._own_status()
        if status is None:
            return
        # The only way to set the exit status while the interpreter shuts down.
        os._exit(status)

    def _own_status(self) -> int | None:
        if self._needs_answer:
            return UNKNOWN if self._status is None else self._status
        if self._is_broken:
            return _INTERNAL_ERROR
        return None if self._lost is None else _USAGE


def _empty_standard_output() -> None:
    """Send what is buffered to nowhere: pytest and the interpreter would try to write it again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        finally:
            os.close(nowhere)
        sys.stdout.flush()


def _complain(message: str) -> None:
    line = "".join(letter if letter.isprintable() else " " for letter in message)
    try:
        sys.stderr.write(f"ERROR: {line}\n")
        sys.stderr.flush()
    except OSError:
        return  # No one can read it.


def asks_for_nagios() -> bool:
    """Whether the command line, or PYTEST_ADDOPTS, has `--nagios`."""
    return "--nagios" in sys.argv or "--nagios" in os.environ.get("PYTEST_ADDOPTS", "").split()


GUARD: Final = Guard()
"""The guard of this process."""
