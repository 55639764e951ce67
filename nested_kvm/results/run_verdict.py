"""The verdict on a whole run, decided once; each report only words it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.drift import Drift
from nested_kvm.results.run import ExitStatus, Result, Run

_EVALUATED: Final = frozenset({ExitStatus.COMPLIANT, ExitStatus.FINDING, ExitStatus.NOT_OBSERVED})


class RunVerdict(StrEnum):
    """The result of a run in a word."""

    COMPLIANT = "COMPLIANT"
    NOT_COMPLIANT = "NOT COMPLIANT"
    NOT_DECIDED = "NOT DECIDED"
    """No finding, and something that matters could not be inspected or decided."""
    PARTIAL = "PARTIAL"
    """No finding, and the run was narrowed: it answers for what it asked only."""
    INCOMPLETE = "INCOMPLETE"
    """The run ended early, and nothing that it saw is a finding."""
    NO_VERDICT = "NO VERDICT"
    """Nothing was evaluated, or the run broke."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict, and the numbers that it rests on."""

    verdict: RunVerdict
    exit_status: int | None
    shortfall: str
    """Why the run is not whole; empty: it is."""
    known: int
    """Findings that the baseline has as well."""
    other: int
    """Findings that are not known ones."""
    waived: int
    accepted: int
    """Unknowns that a waiver accepts."""
    errors: int
    unknowns: int
    unreachable: int
    """Targets that could not be inspected."""
    undecided: Mapping[Severity, int]
    """Errors, and unknowns that no waiver accepts, by severity, the highest first."""

    @property
    def grave(self) -> int:
        """How many of the undecided are of a severity that leaves the verdict open."""
        return sum(count for severity, count in self.undecided.items() if severity >= Severity.HIGH)


def conclude(run: Run) -> Conclusion:
    """Bring the run to its verdict; its exit status is known."""
    findings = run.findings()
    known = sum(each.drift is Drift.PERSISTING for each in findings)
    return Conclusion(
        verdict=_verdict(run),
        exit_status=run.exit_status,
        shortfall=run.shortfall,
        known=known,
        other=len(findings) - known,
        waived=len(run.waived()),
        accepted=len(run.accepted()),
        errors=run.count(Outcome.ERROR),
        unknowns=run.count(Outcome.UNKNOWN) - len(run.accepted()),
        unreachable=sum(target.error is not None for target in run.targets),
        undecided=_undecided(run),
    )


def _verdict(run: Run) -> RunVerdict:
    if run.exit_status == ExitStatus.FINDING and run.findings():
        return RunVerdict.NOT_COMPLIANT
    if run.is_partial and run.complete and run.exit_status in _EVALUATED:
        return RunVerdict.PARTIAL
    if run.exit_status == ExitStatus.COMPLIANT and run.complete:
        return RunVerdict.NOT_DECIDED if any(map(_matters, run.with_outcome(Outcome.UNKNOWN))) else RunVerdict.COMPLIANT
    if run.exit_status in _EVALUATED - {ExitStatus.COMPLIANT}:
        return RunVerdict.NOT_DECIDED
    return RunVerdict.NO_VERDICT if run.complete else RunVerdict.INCOMPLETE


def _undecided(run: Run) -> dict[Severity, int]:
    open_results = (*run.with_outcome(Outcome.ERROR), *run.with_outcome(Outcome.UNKNOWN))
    counts = Counter(each.severity for each in open_results if each.waiver is None)
    return {severity: counts[severity] for severity in reversed(Severity)}


def _matters(unknown: Result) -> bool:
    """Whether an unknown leaves the question of the run open."""
    return unknown.severity >= Severity.HIGH and unknown.waiver is None
