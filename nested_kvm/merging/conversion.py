"""From a row that was found to be right to what a run is made of."""

from nested_kvm.inventory.shard import FleetShard
from nested_kvm.merging.rows import DiagnosisRow, PastRow, ResultRow, ShardPart, TargetRow, WaiverPart, WaiverUseRow
from nested_kvm.model.policy import Policy
from nested_kvm.model.verdict import Evidence
from nested_kvm.results.diagnosis import Diagnosis, SeenLink
from nested_kvm.results.drift import PastFinding
from nested_kvm.results.run import Result, TargetResult
from nested_kvm.results.waiver import Waiver, WaiverUse


def shard_of(part: ShardPart) -> FleetShard:
    """Which part of which fleet."""
    return FleetShard(part.number, part.of, part.fleet)


def target_of(row: TargetRow) -> TargetResult:
    """What came of looking at a target."""
    known = row.policy
    policy = None if known is None else Policy(known.nested, known.persistence, known.undeclared)
    return TargetResult(row.name, row.level, row.host, row.address, row.observed, row.error, policy)


def result_of(row: ResultRow) -> Result:
    """A result, with the waiver and the drift that its run gave it."""
    return Result(
        control=row.control,
        target=row.target,
        subject=row.subject,
        outcome=row.outcome,
        severity=row.severity,
        title=row.title,
        message=row.message,
        cause=row.cause,
        evidence=tuple(Evidence(item.source, item.text) for item in row.evidence),
        remediation=tuple(row.remediation),
        waiver=None if row.waiver is None else _waiver(row.waiver),
        drift=row.drift,
    )


def use_of(row: WaiverUseRow) -> WaiverUse:
    """What came of a waiver."""
    return WaiverUse(_waiver(row.waiver), row.state, row.findings)


def diagnosis_of(row: DiagnosisRow) -> Diagnosis:
    """What walking a guest's chain came to."""
    return Diagnosis(
        target=row.target,
        host=row.host,
        can_nest=row.can_nest,
        links=tuple(SeenLink(link.link, link.state, link.text) for link in row.links),
        explanation=row.explanation,
        broken_link=row.broken_link,
        cause=row.cause,
        remediation=tuple(row.remediation),
        warnings=tuple(row.warnings),
    )


def past_of(row: PastRow) -> PastFinding:
    """A finding of the baseline."""
    return PastFinding(row.control, row.target, row.subject, row.severity, row.title, row.message)


def _waiver(part: WaiverPart) -> Waiver:
    return Waiver(part.control, part.target, part.subject, part.reason, part.approver, part.expires, part.source)
