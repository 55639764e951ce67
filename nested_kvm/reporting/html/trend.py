"""Earlier runs of the same inventory, as `reports/` keeps them, and the little chart that they make."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from nested_kvm.results import Run
from nested_kvm.verdict import Outcome

RUNS: Final = 12
"""Runs that a chart shows, this one included."""
_BYTES: Final = 150_000_000
"""Of earlier results, that are read at most."""
_SCHEMA: Final = "nested-kvm-compliance/results/1"


@dataclass(frozen=True, slots=True)
class Point:
    """One run in numbers."""

    started: datetime
    findings: int
    unseen: int
    """What could not be looked at, or was not decided."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The runs, the oldest first, and the files that could not be read."""

    points: tuple[Point, ...]
    ignored: tuple[str, ...] = ()

    @property
    def highest(self) -> int:
        """What the chart's full height stands for."""
        return max((point.findings + point.unseen for point in self.points), default=0) or 1


def trend(run: Run, folder: Path | None) -> Trend:
    """This run behind the last ones of `folder` that were of the same inventory."""
    points = [Point(run.started, len(run.findings()), run.count(Outcome.ERROR) + run.count(Outcome.UNKNOWN))]
    ignored: list[str] = []
    for file in _earlier(folder):
        if len(points) == RUNS:
            break
        try:
            found = _read(file, run)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            ignored.append(f"{file.parent.name}/{file.name}")
            continue
        if found is not None:
            points.append(found)
    return Trend(tuple(sorted(points, key=lambda point: point.started)), tuple(ignored))


def _earlier(folder: Path | None) -> Iterator[Path]:
    """The newest first; as many as can be read in a moment."""
    files = [] if folder is None else sorted(folder.glob("[0-9]*/results.json"), reverse=True)
    budget = _BYTES
    for file in files:
        budget -= file.stat().st_size if file.exists() else 0
        if budget < 0:
            return
        yield file


def _read(file: Path, run: Run) -> Point | None:
    """One earlier run; None where it was of another inventory, did not end, or is this one."""
    document: dict[str, Any] = json.loads(file.read_bytes())
    if document["schema"] != _SCHEMA:
        raise ValueError(document["schema"])
    if document["run"]["inventory"] != run.inventory or document["run"]["id"] == run.id:
        return None
    if document["run"].get("complete") is False:
        return None
    started = datetime.fromisoformat(document["run"]["started"])
    counts = Counter(result["outcome"] for result in document["results"] if result["waiver"] is None)
    return Point(started, counts[Outcome.FAIL], counts[Outcome.ERROR] + counts[Outcome.UNKNOWN])
