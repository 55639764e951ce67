"""The trend: earlier runs of the same inventory that the report directory still has."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.reader import Tell, Unusable, rows_of
from nested_kvm.results.run import Run
from nested_kvm.results.selection import Selection, selection_of

RUNS: Final = 12
"""Runs in the chart, including this one."""
_BYTES: Final = 150_000_000
"""Bytes of earlier results after which no further file is opened."""
_UNSEEN: Final = (Outcome.ERROR, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Point:
    """One run in numbers."""

    started: datetime
    findings: int
    unseen: int
    """Errors and unknowns."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The runs, the oldest first, and the files that could not be read."""

    points: tuple[Point, ...]
    ignored: tuple[str, ...] = ()

    @property
    def highest(self) -> int:
        """The value at the full height of the chart."""
        return max((point.findings + point.unseen for point in self.points), default=0) or 1


def trend(run: Run, folder: Path | None) -> Trend:
    """Return this run after the previous ones of `folder` with the same inventory."""
    points = [Point(run.started, len(run.findings()), run.undecided)]
    own = selection_of(run)
    ignored: list[str] = []
    read: list[int] = []
    for file in _earlier(folder):
        if len(points) == RUNS or sum(read) >= _BYTES:
            break
        try:
            found = _read(file, run, own, read.append)
        except (OSError, Unusable, ValueError, KeyError, TypeError, AttributeError):
            ignored.append(f"{file.parent.name}/{file.name}")
            continue
        if found is not None:
            points.append(found)
    return Trend(tuple(sorted(points, key=lambda point: point.started)), tuple(ignored))


def _earlier(folder: Path | None) -> list[Path]:
    """Return the results of earlier runs, the newest first."""
    return [] if folder is None else sorted(folder.glob("[0-9]*/results.json"), reverse=True)


def _read(file: Path, run: Run, own: Selection, tell: Tell) -> Point | None:
    """Read one earlier run; None where it is of another inventory, did not end, or is this one.

    Files of older versions have no counts: there every result is read.
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
            if not _is_comparable(value.get("asked"), own):
                return None
            started = datetime.fromisoformat(value["started"])
            if "counts" in value:
                return Point(started, *(_number(value["counts"], name) for name in ("findings", "undecided")))
        elif row.section == "results" and value["waiver"] is None:
            counts[value["outcome"]] += 1
    return None if started is None else Point(started, counts[Outcome.FAIL], sum(counts[each] for each in _UNSEEN))


def _is_comparable(asked: dict[str, Any] | None, own: Selection) -> bool:
    """Whether an earlier run of the same inventory had the same targets, policies and kind of controls."""
    if asked is None:  # a file of an older version
        return own.is_whole
    is_same = asked["targets"] == own.targets or bool(own.is_whole and asked["is_whole"])
    return is_same and asked["decides"] == own.decides


def _number(counts: dict[str, int], name: str) -> int:
    if type(counts[name]) is not int or counts[name] < 0:
        raise ValueError(f"run.counts.{name}: is not a number of results")
    return counts[name]


def _part(shard: dict[str, int] | None) -> tuple[int, int] | None:
    """Return the shard: a shard is compared with the same shard only, and the whole fleet with the whole."""
    return None if shard is None else (shard["number"], shard["of"])
