"""The verdict on a whole run, decided once; each report only words it."""

from dataclasses import dataclass
from enum import StrEnum

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.drift import Drift
from nested_kvm.results.run import ExitStatus, Run


class RunVerdict(StrEnum):
    """The result of a run in a word."""

    COMPLIANT = "COMPLIANT"
    NOT_COMPLIANT = "NOT COMPLIANT"
    NOT_DECIDED = "NOT DECIDED"
    """No finding, and something could not be inspected or decided."""
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
    """Why the run is not complete; empty: it is."""
    known: int
    """Findings that the baseline has as well."""
    other: int
    """Findings that are not known ones."""
    waived: int
    errors: int
    unknowns: int
    unreachable: int
    """Targets that could not be inspected."""


def conclude(run: Run) -> Conclusion:
    """Bring the run to its verdict; its exit status is known."""
    findings = run.findings()
    known = sum(each.drift is Drift.PERSISTING for each in findings)
    return Conclusion(
        verdict=_verdict(run),
        exit_status=run.exit_status,
        shortfall="" if run.complete else run.shortfall,
        known=known,
        other=len(findings) - known,
        waived=len(run.waived()),
        errors=run.count(Outcome.ERROR),
        unknowns=run.count(Outcome.UNKNOWN),
        unreachable=sum(target.error is not None for target in run.targets),
    )


def _verdict(run: Run) -> RunVerdict:
    if run.exit_status == ExitStatus.COMPLIANT and run.complete:
        return RunVerdict.COMPLIANT
    if run.exit_status == ExitStatus.FINDING and run.findings():
        return RunVerdict.NOT_COMPLIANT
    if run.exit_status in {ExitStatus.FINDING, ExitStatus.NOT_OBSERVED}:
        return RunVerdict.NOT_DECIDED
    return RunVerdict.NO_VERDICT if run.complete else RunVerdict.INCOMPLETE
