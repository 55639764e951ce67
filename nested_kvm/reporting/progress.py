"""Tells how far looking at the targets has come: a bar on a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.util.text import printable

LINES = 20
"""A log of CI gets about this many, however large the fleet."""


class ObservationProgress:
    """A context in which `advance` is called for each target that was looked at."""

    def __init__(self, total: int, file: TextIO) -> None:
        self._total = total
        self._done = 0
        self._console = Console(file=file, highlight=False, markup=False, soft_wrap=True)
        columns = (TextColumn("observing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task("observing", total=total)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        else:
            self._console.print(f"observing {self._total} target{'s' if self._total != 1 else ''}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def tell(self, line: str) -> None:
        """Print a line of its own."""
        self._console.print(line)

    def advance(self, bundle: Bundle) -> None:
        """Count one target, and tell at once when it could not be looked at."""
        self._done += 1
        if bundle.failure is not None:
            self._console.print(f"could not look at {printable(bundle.failure.message)}")
        if self._console.is_terminal:
            self._bar.advance(self._task)
        elif self._done % max(1, self._total // LINES) == 0 and self._total > 1:
            self._console.print(f"observed {self._done} of {self._total}")
