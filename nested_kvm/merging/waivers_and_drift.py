"""Merges the waivers and the drift of several runs, as each run recorded them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final, get_args

from nested_kvm.results.drift import DriftSummary, PastFinding
from nested_kvm.results.reader import Unusable
from nested_kvm.results.schema_file import DriftPart, PastState
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse

_STRONGEST: Final = (
    WaiverState.USED,
    WaiverState.EXPIRED,
    WaiverState.OTHER_CAUSE,
    WaiverState.UNJUDGED,
    WaiverState.CONTROL_PASSES,
    WaiverState.MATCHES_NOTHING,
)
"""The state of a merged waiver is the first of these that any run has: it is stale only if so in every run."""
_ALIKE: Final = "give all runs the same --baseline, or none"
_STATES: Final[tuple[PastState, ...]] = get_args(PastState)


class MergedWaivers:
    """The waivers of all runs; equal ones are one."""

    def __init__(self) -> None:
        self._uses: dict[Waiver, list[WaiverUse]] = {}

    def add(self, use: WaiverUse) -> None:
        """Add the status of a waiver in one run."""
        self._uses.setdefault(use.waiver, []).append(use)

    def uses(self, runs: int) -> list[WaiverUse]:
        """Return the status of each in so many runs. A run that had no such waiver did not evaluate it."""
        return [
            WaiverUse(waiver, _state(uses, runs), sum(each.findings for each in uses))
            for waiver, uses in self._uses.items()
        ]


def _state(uses: list[WaiverUse], runs: int) -> WaiverState:
    states = {each.state for each in uses} | ({WaiverState.UNJUDGED} if len(uses) < runs else set())
    return next(state for state in _STRONGEST if state in states)


ForeignFindings = Counter[tuple[PastState, PastFinding]]
"""Findings of the baseline on targets that a run did not audit, and how often it lists them."""


@dataclass(slots=True)
class _ForeignFinding:
    """A finding of the baseline on a target that the run which lists it did not audit."""

    times: int = 0
    unjudged: bool = False


class MergedDrift:
    """The comparisons of all runs: each counts for its own targets."""

    def __init__(self) -> None:
        self._first: DriftPart | None = None
        self._with: Path | None = None
        self._without: Path | None = None
        self._new = 0
        self._persisting = 0
        self._ended: dict[PastState, list[PastFinding]] = {state: [] for state in _STATES}
        self._foreign: dict[PastFinding, _ForeignFinding] = {}
        self._vanished: set[str] | None = None

    def skip(self, path: Path) -> None:
        """Record that a run had no baseline.

        Raises:
            Unusable: another one did.
        """
        self._without = self._without or path
        if self._with is not None:
            raise Unusable(f"drift: compared with no baseline, {self._with} did: {_ALIKE}")

    def add(self, path: Path, part: DriftPart, foreign: ForeignFindings, vanished: set[str]) -> None:
        """Add one run's comparison, and the findings that it lists on other targets.

        Raises:
            Unusable: others compared with another baseline, or with none.
        """
        self._first, self._with = self._first or part, self._with or path
        if self._without is not None:
            raise Unusable(f"drift: compared with a baseline, {self._without} did not: {_ALIKE}")
        if part.baseline.id != self._first.baseline.id:
            raise Unusable(f"drift.baseline.id: compared with another baseline than {self._with}: {_ALIKE}")
        self._new += part.new
        self._persisting += part.persisting
        self._vanished = vanished if self._vanished is None else self._vanished & vanished
        for (state, finding), times in foreign.items():
            known = self._foreign.setdefault(finding, _ForeignFinding())
            known.times = max(known.times, times)
            known.unjudged |= state == "unjudged"

    def settle(self, state: PastState, finding: PastFinding) -> None:
        """Add a finding on one of the run's own targets."""
        self._ended[state].append(finding)

    def summary(self, audited: Callable[[str], bool]) -> DriftSummary | None:
        """Return the whole comparison; None: there was none. `audited` returns whether any run audited that target.

        A target that none audited is gone only where no run still has it in its inventory.
        """
        if self._first is None:
            return None
        for finding, known in self._foreign.items():
            if not audited(finding.target):
                self._ended["unjudged" if known.unjudged else "gone"] += [finding] * known.times
        return DriftSummary(
            baseline=self._first.baseline.file,
            baseline_id=self._first.baseline.id,
            baseline_started=self._first.baseline.started,
            new=self._new,
            persisting=self._persisting,
            fixed=self._sorted("fixed"),
            gone=self._sorted("gone"),
            unjudged=self._sorted("unjudged"),
            vanished=tuple(sorted(self._vanished or ())),
        )

    def _sorted(self, state: PastState) -> tuple[PastFinding, ...]:
        return tuple(sorted(self._ended[state], key=attrgetter("target", "subject", "control")))
