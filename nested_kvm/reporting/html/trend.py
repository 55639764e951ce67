"""Earlier runs of the same inventory, as `reports/` keeps them, and the little chart that they make."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from nested_kvm.results import Run
from nested_kvm.results_file import Unusable, rows_of
from nested_kvm.verdict import Outcome

RUNS: Final = 12
"""Runs that a chart shows, this one included."""
_BYTES: Final = 150_000_000
"""Of earlier results, that are looked into at most."""
_UNSEEN: Final = (Outcome.ERROR, Outcome.UNKNOWN)


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
        except (OSError, Unusable, ValueError, KeyError, TypeError, AttributeError):
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
    """One earlier run; None where it was of another inventory, did not end, or is this one.

    Files of older versions do not count their results: there each is looked at.
    """
    started: datetime | None = None
    counts: Counter[str] = Counter()
    for row in rows_of(file, _tell_nobody):
        value = row.value
        if row.section == "run":
            if value["inventory"] != run.inventory or value["id"] == run.id or value.get("complete") is False:
                return None
            if _part(value.get("shard")) != (None if run.shard is None else (run.shard.number, run.shard.of)):
                return None
            started = datetime.fromisoformat(value["started"])
            if "counts" in value:
                return Point(started, *(_number(value["counts"], name) for name in ("findings", "undecided")))
        elif row.section == "results" and value["waiver"] is None:
            counts[value["outcome"]] += 1
    return None if started is None else Point(started, counts[Outcome.FAIL], sum(counts[each] for each in _UNSEEN))


def _number(counts: dict[str, int], name: str) -> int:
    if type(counts[name]) is not int or counts[name] < 0:
        raise ValueError(f"run.counts.{name}: is no number of results")
    return counts[name]


def _part(shard: dict[str, int] | None) -> tuple[int, int] | None:
    """A part of the fleet is compared with the same part only, and the whole with the whole."""
    return None if shard is None else (shard["number"], shard["of"])


def _tell_nobody(_read: int) -> None:
    """It is over in a moment."""
