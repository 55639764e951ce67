"""Tells how far something has come that is mostly over at once: nothing is told until it takes long."""

import time
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from nested_kvm.util.text import printable

PATIENCE: Final = 2.0
"""Seconds without a word."""
_LINES: Final = 10
"""That a log of CI gets of it."""


class SlowProgress:
    """A context in which `advance` is called for each part of `total`, in whatever unit."""

    def __init__(self, what: str, total: int, file: TextIO, *, on_a_new_line: bool = False) -> None:
        self._what = printable(what)
        self._total = max(1, total)
        self._done = 0
        self._told = 0
        self._before = "\n" if on_a_new_line else ""
        self._since = time.monotonic()
        self._console = Console(file=file, highlight=False, markup=False, soft_wrap=True)
        words = TextColumn("{task.description}", markup=False)
        columns = (words, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task(self._what, total=self._total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def advance(self, parts: int) -> None:
        """Count some; from two seconds on it is told."""
        self._done += parts
        if time.monotonic() - self._since < PATIENCE:
            return
        if not self._console.is_terminal:
            self._tell_in_lines()
            return
        self._bar.start()
        self._bar.update(self._task, completed=self._done)

    def _tell_in_lines(self) -> None:
        step = self._done * _LINES // self._total + 1
        if step > self._told:
            self._told = step
            before, self._before = self._before, ""
            self._console.print(f"{before}{self._what}: {min(100, 100 * self._done // self._total)} %")
