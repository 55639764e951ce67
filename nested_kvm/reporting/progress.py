"""The progress of long steps: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.results.incremental import unchanged_since
from nested_kvm.util.text import plural, printable

LINES: Final = 20
"""Lines in a log of CI, about, however large the fleet."""
SLOW_LINES: Final = 10
"""Lines in a log of CI of a step that is usually short."""
PATIENCE: Final = 2.0
"""Seconds for which such a step shows nothing."""


class _StepProgress:
    """A bar with a description, and a console beside it."""

    def __init__(self, what: str, total: int, file: TextIO, count: ProgressColumn) -> None:
        self._what = printable(what)
        self._total = max(1, total)
        self._done = 0
        self._console = Console(file=file, highlight=False, markup=False, soft_wrap=True)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), count, TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task(self._what, total=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def tell(self, line: str) -> None:
        """Print a separate line."""
        self._console.print(line)


class ObservationProgress(_StepProgress):
    """A context in which `advance` is called for each target that was inspected."""

    def __init__(self, total: int, file: TextIO) -> None:
        super().__init__("observing", total, file, MofNCompleteColumn())

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        else:
            self.tell(f"observing {plural(int(self._bar.tasks[0].total or 0), 'target')}")
        return self

    def advance(self, bundle: Bundle) -> None:
        """Count one target, and report at once when it could not be inspected."""
        self._done += 1
        if bundle.failure is not None:
            self.tell(f"could not inspect {printable(bundle.failure.message)}")
        elif bundle.incremental is not None and bundle.incremental.is_unchanged:
            self.tell(f"{printable(bundle.target.name)}: {unchanged_since(bundle.observed_at)}")
        if self._console.is_terminal:
            self._bar.advance(self._task)
        elif self._done % max(1, self._total // LINES) == 0 and self._total > 1:
            self.tell(f"observed {self._done} of {self._total}")


class SlowProgress(_StepProgress):
    """A context in which `advance` is called for each part of `total`; it shows nothing until it takes long."""

    def __init__(self, what: str, total: int, file: TextIO, *, on_a_new_line: bool = False) -> None:
        super().__init__(what, max(1, total), file, TaskProgressColumn())
        self._printed = 0
        self._before = "\n" if on_a_new_line else ""
        self._since = time.monotonic()

    def advance(self, parts: int) -> None:
        """Count parts that are done."""
        self._done += parts
        if time.monotonic() - self._since < PATIENCE:
            return
        if self._console.is_terminal:
            self._bar.start()
            self._bar.update(self._task, completed=self._done)
            return
        step = self._done * SLOW_LINES // self._total + 1
        if step > self._printed:
            self._printed = step
            before, self._before = self._before, ""
            self.tell(f"{before}{self._what}: {min(100, 100 * self._done // self._total)} %")
