"""A run and its results as data; `exit_status.py` decides the exit status."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
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
from nested_kvm.results.exposure import HostExposure
from nested_kvm.results.incremental import Incremental
from nested_kvm.results.inputs import Input
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problem import Problems
from nested_kvm.results.repair_step import Step
from nested_kvm.results.scope import NOT_REACHED, NotAsked, not_asked_line
from nested_kvm.results.waiver import Waiver, WaiverUse


class ExitStatus(IntEnum):
    """The exit statuses of nested-kvm-compliance; 2, 3 and 5 are pytest's."""

    COMPLIANT = 0
    FINDING = 1
    USAGE = 4
    NOT_OBSERVED = 6


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
    """The waiver that accepts this finding, or this unknown; None also where it has expired."""
    drift: Drift | None = None
    """None: there is no baseline, or no finding, neither then nor now."""
    decides: bool = False
    """Whether its control answers whether the subject complies, now or after the next boot."""

    check: str | None = None
    """The node id of a site's own check: two of them may have one control id. None: a control of ours."""

    @property
    def is_open_finding(self) -> bool:
        """Whether the result is a finding that is not waived."""
        return self.outcome is Outcome.FAIL and self.waiver is None

    @property
    def is_undecided(self) -> bool:
        """Whether the result is an error, or an unknown that is not accepted."""
        return self.outcome.is_undecided and self.waiver is None


@dataclass(frozen=True, slots=True, kw_only=True)
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
    evidence: "EvidenceFile | None" = None
    """None: the run is merged of others, which have it, or is of an older version."""
    incremental: Incremental | None = None
    """The result of `--since`; None: the run was made without it, or the target could not be inspected."""

    @property
    def is_unchanged(self) -> bool:
        """Whether the target was not inspected again, as nothing had changed since an earlier run."""
        return self.incremental is not None and self.incremental.is_unchanged


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """The evidence of a target in the directory of its run."""

    file: str
    """Its path below the directory."""
    sha256: str
    judged_sha256: str | None
    """Of the file of another run that was evaluated again; None: the target was observed in this run."""


class Results(Protocol):
    """All results of a run, wherever they are stored; they can be iterated any number of times."""

    def __len__(self) -> int:
        """Return the number of results."""

    def sorted_by_target(self) -> Iterator[Result]:
        """Iterate over all, by target, subject and control."""

    def by_control(self) -> Iterator[Result]:
        """Iterate over all, by control, target and subject."""

    def of_target(self, name: str) -> Sequence[Result]:
        """Return the results of one target, by subject and control."""

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
        self._by_target: dict[str, list[Result]] = {}
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

    def of_target(self, name: str) -> Sequence[Result]:
        """See `Results`."""
        if not self._by_target:
            for result in self.sorted_by_target():
                self._by_target.setdefault(result.target, []).append(result)
        return self._by_target.get(name, ())

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
    """Whether everything that was selected was evaluated: not so in an interrupted run. See `is_whole`."""
    gaps: list[str] = field(default_factory=list)
    """What is missing in a merged run, a sentence each."""
    owed: int | None = None
    """Results that the fleet asks for: controls, each times its subjects; None: not known."""
    not_asked: list[NotAsked] = field(default_factory=list)
    """What of that the run left out because it was narrowed (`-k`, a path, `--deselect`)."""
    left_out: int | None = None
    """Targets of the inventory that were not selected (`--hosts`, `--shard`); None: not known."""
    not_audited: tuple[str, ...] = ()
    """What of the inventory's estate is not a target, a sentence each."""
    shard: FleetShard | None = None
    """The part of the fleet that was audited; None: all of it."""
    candidates: tuple[str, ...] = ()
    """The guests of `--candidate`, of which alone was asked; empty: the fleet was."""
    targets: list[TargetResult] = field(default_factory=list)
    results: Results = field(default_factory=ResultList)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    answers: list[NestingAnswer] = field(default_factory=list)
    """One for each target, in their order; none in a run that merges those of an older version."""
    problems: Problems = field(default_factory=Problems)
    """Every finding, brought together by `problems.py` once all else is known."""
    exposures: list[HostExposure] = field(default_factory=list)
    """One for each host whose kernel was inspected, in the order of the targets."""
    advisories_dated: date | None = None
    """The day of the advisory data; None: a run of an older version did not record it."""
    inputs: list[Input] = field(default_factory=list)
    """The files that it was given, each with its digest."""
    waivers: list[WaiverUse] = field(default_factory=list)
    """Every waiver of the file, in its order."""
    drift: DriftSummary | None = None
    """None: there was no baseline."""

    @property
    def candidate(self) -> str | None:
        """The first of the candidates; None: the fleet was asked of."""
        return self.candidates[0] if self.candidates else None

    @property
    def is_partial(self) -> bool:
        """Whether the run was narrowed: something that the fleet asks for was not asked."""
        return bool(self.not_asked)

    @property
    def is_whole(self) -> bool:
        """Whether everything that the fleet asks for was evaluated, or at least tried."""
        return self.complete and not self.is_partial

    @property
    def shortfall(self) -> str:
        """The sentence of every report that states that the run is not whole; empty: it is."""
        cut = f"INCOMPLETE: {'; '.join(self.gaps)}" if self.gaps else INCOMPLETE
        left_out = [each for each in self.not_asked if self.complete or each.reason != NOT_REACHED]
        parts = ["" if self.complete else cut, not_asked_line(left_out) if left_out else ""]
        return "; ".join(filter(None, parts))

    def count(self, *outcomes: Outcome) -> int:
        """Return the number of results with one of these outcomes."""
        return sum(map(self.results.count, outcomes))

    @property
    def undecided(self) -> int:
        """The number of errors, and of unknowns that are not accepted."""
        return self.count(Outcome.ERROR, Outcome.UNKNOWN) - len(self.accepted())

    def with_outcome(self, outcome: Outcome) -> Sequence[Result]:
        """Return the results with this outcome, the most severe first, then by target."""
        return self.results.with_outcome(outcome)

    def findings(self) -> list[Result]:
        """Return the findings that are not waived, the most severe first, then by target."""
        return [result for result in self.with_outcome(Outcome.FAIL) if result.is_open_finding]

    def waived(self) -> list[Result]:
        """Return the waived findings, in the same order."""
        return [result for result in self.with_outcome(Outcome.FAIL) if not result.is_open_finding]

    def accepted(self) -> list[Result]:
        """Return the unknowns that a waiver accepts, in the same order."""
        return [result for result in self.with_outcome(Outcome.UNKNOWN) if result.waiver is not None]

    def reasons(self, outcome: Outcome) -> list["Reason"]:
        """Return the results with this outcome, grouped by their reason, each with all controls that it affects."""
        controls: dict[tuple[str, str, str], list[str]] = {}
        for result in (each for each in self.with_outcome(outcome) if each.waiver is None):
            controls.setdefault((result.target, result.subject, result.message), []).append(result.control)
        return [Reason(*key, tuple(sorted(set(names)))) for key, names in controls.items()]

    def blocking(self, threshold: "Threshold") -> Iterator[Result]:
        """Iterate over the results each of which makes the run fail."""
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
    """Errors and unknowns block as findings do, and every target has to pass."""
    only_new: bool = False
    """Findings that the baseline has as well do not block."""

    def blocks(self, result: Result) -> bool:
        """Whether this result alone makes the run fail."""
        if result.is_open_finding:
            return result.severity >= self.fail_on and not (self.only_new and result.drift is Drift.PERSISTING)
        return self.gate and result.is_undecided
