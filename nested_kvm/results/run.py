"""The results of a run, and the exit status that follows from them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from operator import attrgetter
from typing import Final, Protocol

from nested_kvm.inventory.shard import FleetShard
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.policy import Policy
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.results.diagnosis import Diagnosis
from nested_kvm.results.drift import Drift, DriftSummary
from nested_kvm.results.repair_step import Step
from nested_kvm.results.scope import NotAsked
from nested_kvm.results.waiver import Waiver, WaiverUse


class ExitStatus(IntEnum):
    """The suite's own exit statuses; 2, 3 and 5 are pytest's."""

    COMPLIANT = 0
    FINDING = 1
    USAGE = 4
    NOT_OBSERVED = 6


INTERRUPTED: Final = 2
"""pytest's: the run ended before its time."""
RESULTS_SCHEMA: Final = "nested-kvm-compliance/results/1"
"""What `results.json` says it is."""
INCOMPLETE: Final = "the run ended before everything was judged"
"""How every report says it of a run that was not merged; see `Run.shortfall`."""
_NOTHING_AUDITED: Final = frozenset({Outcome.NOTAPPLICABLE, Outcome.NOTCHECKED})


@dataclass(frozen=True, slots=True)
class Result:
    """What one control says of one subject, as it was observed at one target."""

    control: str
    target: str
    subject: str
    outcome: Outcome
    severity: Severity
    title: str
    message: str
    cause: Cause | None = None
    evidence: Sequence[Evidence] = ()
    remediation: Sequence[str] = ()
    repair: Sequence[Step] = ()
    """What a script may do of it."""
    waiver: Waiver | None = None
    """Who answers for this finding; None also where that waiver's last day is over."""
    drift: Drift | None = None
    """None: nothing to compare with, or no finding, neither then nor now."""
    decides: bool = False
    """Whether its control answers whether the subject complies, now or after the next boot."""

    @property
    def counts(self) -> bool:
        """Whether it is a finding that nobody answers for."""
        return self.outcome is Outcome.FAIL and self.waiver is None


@dataclass(frozen=True, slots=True)
class TargetResult:
    """Whether a target was observed, and if not, why."""

    name: str
    level: TargetLevel
    host: str | None
    address: str | None
    observed: bool
    error: str | None
    policy: Policy | None = None
    """What was required of it; None: a run of an older version did not say."""
    observed_at: datetime | None = None
    """When its evidence was read; None: it was not observed, or a run of an older version did not say."""


class Results(Protocol):
    """All results of a run, wherever they are kept; they can be gone through any number of times."""

    def __len__(self) -> int:
        """How many there are."""

    def by_place(self) -> Iterator[Result]:
        """Each, by target, subject and control."""

    def by_control(self) -> Iterator[Result]:
        """Each, by control, target and subject."""

    def ended(self, outcome: Outcome) -> Sequence[Result]:
        """Those that ended so, the severest first, then by target."""

    def count(self, outcome: Outcome) -> int:
        """How many ended so."""

    def titles(self) -> Mapping[str, str]:
        """The title of each control of which there is a result."""


class ResultList:
    """Results that are kept in memory."""

    def __init__(self, results: Iterable[Result] = ()) -> None:
        self._by_outcome: dict[Outcome, list[Result]] = {}
        self._all = tuple(results)
        for result in self._all:
            self._by_outcome.setdefault(result.outcome, []).append(result)
        for ended in self._by_outcome.values():
            ended.sort(key=severest_first)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._all)

    def by_place(self) -> Iterator[Result]:
        """See `Results`."""
        yield from sorted(self._all, key=attrgetter("target", "subject", "control"))

    def by_control(self) -> Iterator[Result]:
        """See `Results`."""
        yield from sorted(self._all, key=attrgetter("control", "target", "subject"))

    def ended(self, outcome: Outcome) -> Sequence[Result]:
        """See `Results`."""
        return self._by_outcome.get(outcome, ())

    def count(self, outcome: Outcome) -> int:
        """See `Results`."""
        return len(self.ended(outcome))

    def titles(self) -> Mapping[str, str]:
        """See `Results`."""
        return {result.control: result.title for result in self._all}


def severest_first(result: Result) -> tuple[int, str, str, str]:
    """The order in which people read what was found."""
    return -result.severity, result.target, result.control, result.subject


@dataclass(slots=True)
class Run:
    """One run: what it was asked, and all that came of it."""

    id: str
    started: datetime
    version: str
    inventory: str
    finished: datetime | None = None
    exit_status: int | None = None
    complete: bool = False
    """Whether every target was tried and every control judged: an interrupted run is not."""
    gaps: list[str] = field(default_factory=list)
    """Of a run that was merged: what is missing in it, a sentence each."""
    owed: int | None = None
    """Results that the fleet asks for: controls, each times its subjects; None: not known."""
    not_asked: list[NotAsked] = field(default_factory=list)
    """What of that the run left out because it was narrowed (`-k`, a path, `--deselect`)."""
    shard: FleetShard | None = None
    """Which part of the fleet it audited; None: all of it."""
    targets: list[TargetResult] = field(default_factory=list)
    results: Results = field(default_factory=ResultList)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    waivers: list[WaiverUse] = field(default_factory=list)
    """Every waiver of the file, in its order."""
    drift: DriftSummary | None = None
    """None: there was nothing to compare with."""

    @property
    def shortfall(self) -> str:
        """How every report says that the run is not complete."""
        return f"INCOMPLETE: {'; '.join(self.gaps)}" if self.gaps else INCOMPLETE

    def count(self, *outcomes: Outcome) -> int:
        """How many results ended in one of these ways."""
        return sum(map(self.results.count, outcomes))

    def ended(self, outcome: Outcome) -> Sequence[Result]:
        """The results that ended so, the severest first, then by target."""
        return self.results.ended(outcome)

    def findings(self) -> list[Result]:
        """The findings that nobody answers for, the severest first, then by target."""
        return [result for result in self.ended(Outcome.FAIL) if result.counts]

    def waived(self) -> list[Result]:
        """The findings that a waiver covers, in the same order."""
        return [result for result in self.ended(Outcome.FAIL) if not result.counts]

    def reasons(self, outcome: Outcome) -> list["Reason"]:
        """The results that ended so, brought together: one reason, however many controls it kept from judging."""
        controls: dict[tuple[str, str, str], list[str]] = {}
        for result in self.ended(outcome):
            controls.setdefault((result.target, result.subject, result.message), []).append(result.control)
        return [Reason(*key, tuple(sorted(set(names)))) for key, names in controls.items()]

    def blocking(self, threshold: "Threshold") -> Iterator[Result]:
        """The results that alone make the run fail."""
        for outcome in (Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN):
            yield from (result for result in self.ended(outcome) if threshold.blocks(result))


@dataclass(frozen=True, slots=True)
class Reason:
    """Why several controls could not judge a subject."""

    target: str
    subject: str
    message: str
    controls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """What makes a run fail."""

    fail_on: Severity = Severity.LOW
    gate: bool = False
    """What could not be looked at or decided blocks as a finding does."""
    only_new: bool = False
    """Findings that the baseline has as well do not block."""

    def blocks(self, result: Result) -> bool:
        """Whether this result alone makes the run fail."""
        if result.counts:
            return result.severity >= self.fail_on and not (self.only_new and result.drift is Drift.PERSISTING)
        return self.gate and result.outcome in {Outcome.ERROR, Outcome.UNKNOWN}


def exit_status(run: Run, pytest_status: int, threshold: Threshold) -> int:
    """The exit status of a run of which results and targets are known, and whose pytest ended with `pytest_status`.

    pytest's own verdict is kept where it did not get to judge: interrupted, broken, misused, or nothing
    collected. With `gate`, what could not be looked at or decided blocks as a finding does. A run in which no
    control applied to anything has audited nothing, and is not compliant; nor is one with a target that could not be
    observed, even where nothing was asked of that one; nor one that did not judge everything.
    """
    if pytest_status not in {0, 1}:
        return pytest_status
    all_observed = all(target.error is None for target in run.targets)
    if any(run.blocking(threshold)) or (threshold.gate and not all_observed):
        return ExitStatus.FINDING
    if not all_observed or run.count(Outcome.ERROR):
        return ExitStatus.NOT_OBSERVED
    if len(run.results) == sum(run.count(outcome) for outcome in _NOTHING_AUDITED):
        return ExitStatus.USAGE
    return ExitStatus.COMPLIANT if run.complete else INTERRUPTED
