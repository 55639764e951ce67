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
    """The exit statuses of nested-kvm-compliance; 2, 3 and 5 are pytest's."""

    COMPLIANT = 0
    FINDING = 1
    USAGE = 4
    NOT_OBSERVED = 6


INTERRUPTED: Final = 2
"""pytest's exit status of a run that was interrupted."""
RESULTS_SCHEMA: Final = "nested-kvm-compliance/results/1"
"""The schema that `results.json` names."""
INCOMPLETE: Final = "the run ended before everything was evaluated"
"""The words of every report for a run that was not merged; see `Run.shortfall`."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one control for one subject, as it was observed at one target."""

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
    """The part of the remediation that a script may do."""
    waiver: Waiver | None = None
    """The waiver that accepts this finding; None also where it has expired."""
    drift: Drift | None = None
    """None: there is no baseline, or no finding, neither then nor now."""
    decides: bool = False
    """Whether its control answers whether the subject complies, now or after the next boot."""

    @property
    def is_open_finding(self) -> bool:
        """Whether it is a finding that is not waived."""
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
    """What was required of it; None: a run of an older version did not record it."""
    observed_at: datetime | None = None
    """When its evidence was read; None: it was not observed, or a run of an older version did not record it."""


class Results(Protocol):
    """All results of a run, wherever they are stored; they can be iterated any number of times."""

    def __len__(self) -> int:
        """Return the number of results."""

    def sorted_by_target(self) -> Iterator[Result]:
        """Iterate over all, by target, subject and control."""

    def by_control(self) -> Iterator[Result]:
        """Iterate over all, by control, target and subject."""

    def with_outcome(self, outcome: Outcome) -> Sequence[Result]:
        """Return the results with this outcome, the most severe first, then by target."""

    def count(self, outcome: Outcome) -> int:
        """Return the number of results with this outcome."""

    def titles(self) -> Mapping[str, str]:
        """Return the title of each control that has a result."""


class ResultList:
    """Results in memory."""

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

    def sorted_by_target(self) -> Iterator[Result]:
        """See `Results`."""
        yield from sorted(self._all, key=attrgetter("target", "subject", "control"))

    def by_control(self) -> Iterator[Result]:
        """See `Results`."""
        yield from sorted(self._all, key=attrgetter("control", "target", "subject"))

    def with_outcome(self, outcome: Outcome) -> Sequence[Result]:
        """See `Results`."""
        return self._by_outcome.get(outcome, ())

    def count(self, outcome: Outcome) -> int:
        """See `Results`."""
        return len(self.with_outcome(outcome))

    def titles(self) -> Mapping[str, str]:
        """See `Results`."""
        return {result.control: result.title for result in self._all}


def hosts_and_their_guests(target: TargetResult) -> tuple[str, bool, str]:
    """The order of targets in reports: each host, then its guests."""
    return target.host or target.name, target.host is not None, target.name


def severest_first(result: Result) -> tuple[int, str, str, str]:
    """The order of findings in reports."""
    return -result.severity, result.target, result.control, result.subject


@dataclass(slots=True)
class Run:
    """One run: what was asked, and all results."""

    id: str
    started: datetime
    version: str
    inventory: str
    finished: datetime | None = None
    exit_status: int | None = None
    complete: bool = False
    """Whether every target was tried and every control evaluated: not so in an interrupted run."""
    gaps: list[str] = field(default_factory=list)
    """What is missing in a merged run, a sentence each."""
    owed: int | None = None
    """Results that the fleet asks for: controls, each times its subjects; None: not known."""
    not_asked: list[NotAsked] = field(default_factory=list)
    """What of that the run left out because it was narrowed (`-k`, a path, `--deselect`)."""
    shard: FleetShard | None = None
    """The part of the fleet that was audited; None: all of it."""
    targets: list[TargetResult] = field(default_factory=list)
    results: Results = field(default_factory=ResultList)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    waivers: list[WaiverUse] = field(default_factory=list)
    """Every waiver of the file, in its order."""
    drift: DriftSummary | None = None
    """None: there was no baseline."""

    @property
    def shortfall(self) -> str:
        """The sentence of every report that states that the run is not complete."""
        return f"INCOMPLETE: {'; '.join(self.gaps)}" if self.gaps else INCOMPLETE

    def count(self, *outcomes: Outcome) -> int:
        """Return the number of results with one of these outcomes."""
        return sum(map(self.results.count, outcomes))

    @property
    def undecided(self) -> int:
        """The number of errors and unknowns."""
        return self.count(Outcome.ERROR, Outcome.UNKNOWN)

    def with_outcome(self, outcome: Outcome) -> Sequence[Result]:
        """Return the results with this outcome, the most severe first, then by target."""
        return self.results.with_outcome(outcome)

    def findings(self) -> list[Result]:
        """Return the findings that are not waived, the most severe first, then by target."""
        return [result for result in self.with_outcome(Outcome.FAIL) if result.is_open_finding]

    def waived(self) -> list[Result]:
        """Return the waived findings, in the same order."""
        return [result for result in self.with_outcome(Outcome.FAIL) if not result.is_open_finding]

    def reasons(self, outcome: Outcome) -> list["Reason"]:
        """Return the results with this outcome, grouped by their reason, each with all controls that it affects."""
        controls: dict[tuple[str, str, str], list[str]] = {}
        for result in self.with_outcome(outcome):
            controls.setdefault((result.target, result.subject, result.message), []).append(result.control)
        return [Reason(*key, tuple(sorted(set(names)))) for key, names in controls.items()]

    def blocking(self, threshold: "Threshold") -> Iterator[Result]:
        """Return the results each of which makes the run fail."""
        for outcome in (Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN):
            yield from (result for result in self.with_outcome(outcome) if threshold.blocks(result))


@dataclass(frozen=True, slots=True)
class Reason:
    """Why several controls could not be evaluated for a subject."""

    target: str
    subject: str
    message: str
    controls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """What makes a run fail."""

    fail_on: Severity = Severity.LOW
    gate: bool = False
    """Errors and unknowns block as findings do."""
    only_new: bool = False
    """Findings that the baseline has as well do not block."""

    def blocks(self, result: Result) -> bool:
        """Whether this result alone makes the run fail."""
        if result.is_open_finding:
            return result.severity >= self.fail_on and not (self.only_new and result.drift is Drift.PERSISTING)
        return self.gate and result.outcome.is_undecided


def exit_status(run: Run, pytest_status: int, threshold: Threshold) -> int:
    """Return the exit status of a run with known results and targets, whose pytest ended with `pytest_status`.

    pytest's own status is kept where it could not evaluate: interrupted, broken, misused, or nothing collected. With
    `gate`, errors and unknowns block as findings do. A run in which no control applied to anything has audited
    nothing, and is not compliant; nor is one with a target that could not be observed, even where nothing was asked
    of it; nor one that did not evaluate everything.
    """
    if pytest_status not in {0, 1}:
        return pytest_status
    all_observed = all(target.error is None for target in run.targets)
    if any(run.blocking(threshold)) or (threshold.gate and not all_observed):
        return ExitStatus.FINDING
    if not all_observed or run.count(Outcome.ERROR):
        return ExitStatus.NOT_OBSERVED
    if len(run.results) == sum(run.count(outcome) for outcome in Outcome if not outcome.applies):
        return ExitStatus.USAGE
    return ExitStatus.COMPLIANT if run.complete else INTERRUPTED
