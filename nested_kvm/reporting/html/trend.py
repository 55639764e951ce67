"""Earlier runs of the same inventory, as `reports/` keeps them, and the little chart that they make."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.reader import Tell, Unusable, rows_of
from nested_kvm.results.run import Run

RUNS: Final = 12
"""Runs that a chart shows, this one included."""
_BYTES: Final = 150_000_000
"""Of earlier results: when as many were read no further file is opened."""
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
    points = [Point(run.started, len(run.findings()), run.count(*_UNSEEN))]
    ignored: list[str] = []
    read: list[int] = []
    for file in _earlier(folder):
        if len(points) == RUNS or sum(read) >= _BYTES:
            break
        try:
            found = _read(file, run, read.append)
        except (OSError, Unusable, ValueError, KeyError, TypeError, AttributeError):
            ignored.append(f"{file.parent.name}/{file.name}")
            continue
        if found is not None:
            points.append(found)
    return Trend(tuple(sorted(points, key=lambda point: point.started)), tuple(ignored))


def _earlier(folder: Path | None) -> list[Path]:
    """The newest first."""
    return [] if folder is None else sorted(folder.glob("[0-9]*/results.json"), reverse=True)


def _read(file: Path, run: Run, tell: Tell) -> Point | None:
    """One earlier run; None where it was of another inventory, did not end, or is this one.

    Files of older versions do not count their results: there each is looked at.
    """
    started: datetime | None = None
    counts: Counter[str] = Counter()
    for row in rows_of(file, tell):
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
