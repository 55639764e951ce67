"""What the objects of `results.json` hold: run, targets, results and waivers. Merging and comparing read them."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from nested_kvm.inventory.shard import MOST, FleetShard
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.policy import Nested, Persistence, Policy, Undeclared
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.results.drift import Drift
from nested_kvm.results.incremental import Incremental, TargetDigest
from nested_kvm.results.inputs import InputKind
from nested_kvm.results.problem import Role
from nested_kvm.results.run import Result, TargetResult
from nested_kvm.results.schema_fields import (
    CauseCode,
    CauseField,
    ControlId,
    Count,
    DateField,
    Digest,
    EnumField,
    Line,
    Name,
    Part,
    Sentence,
    SeverityField,
    TimeField,
)
from nested_kvm.results.waiver import Waiver

_NULL: Final = {"type": "null"}


def if_then(conditions: dict[str, Any], then: dict[str, Any], otherwise: dict[str, Any] | None = None) -> Any:
    """Return a JSON Schema in which some keys depend on the values of others."""
    found = {"if": {"properties": conditions}, "then": {"properties": then}}
    return found if otherwise is None else {**found, "else": {"properties": otherwise}}


class ShardPart(Part):
    """Which part of the fleet was audited (--shard)."""

    number: Annotated[int, Field(ge=1)]
    """The first is 1."""
    of: Annotated[int, Field(ge=1, le=MOST)]
    fleet: Digest
    """SHA-256 over the sorted names of all targets that were split, as a JSON array in ASCII."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.number > self.of:
            raise ValueError(f"there is no shard {self.number} of {self.of}")
        return self

    def shard(self) -> FleetShard:
        """Return the shard."""
        return FleetShard(self.number, self.of, self.fleet)


class CountsPart(Part):
    """The numbers of results that matter, for readers that read no further."""

    findings: Count
    """Fails that are not waived."""
    undecided: Count
    """Errors and unknowns."""


class NotAskedPart(Part):
    """One control that the fleet asks for, of one subject, and that a narrowed run left out."""

    control: Name
    target: Name
    subject: Sentence
    reason: Sentence
    """What left it out."""


class AskedPart(Part):
    """What the run was asked."""

    owed: Count | None
    """Results that the fleet asks for: controls, each times its subjects; null: not known."""
    not_asked: list[NotAskedPart]
    """What of that a narrowed run left out; then it is not complete."""
    targets: Digest
    """A digest of the names of all targets, and of the policy of each."""
    decides: bool
    """Whether controls that decide were evaluated: not so with -m maintenance."""
    is_whole: bool
    """Whether the inventory is a file, and all of its targets were selected."""


class InputPart(Part):
    """A file that the run was given."""

    kind: Annotated[InputKind, EnumField]
    """evidence and results: the results.json of a run that was evaluated again or merged."""
    file: Sentence
    """As it was named."""
    sha256: Digest | None
    """Null: it is not a regular file."""
    signed_by: Sentence | None
    """Who signed the run that it belongs to; null: that was not required."""


class RunPart(Part):
    """The run itself."""

    id: Name
    """A random UUID."""
    started: TimeField
    finished: TimeField
    version: Name
    """Of nested-kvm-compliance."""
    inventory: Sentence
    """The file, or the option that stood for it."""
    exit_status: Annotated[int, Field(ge=0, le=6)]
    """0 compliant, 1 a finding, 6 something could not be inspected, 4 bad usage or nothing audited; others: pytest."""
    complete: bool | None = None
    """Whether every target was tried and every control evaluated. False: it was interrupted, stopped or narrowed."""
    asked: AskedPart | None = None
    """Files of older versions have none."""
    not_audited: list[Sentence] = Field(default_factory=list)
    """What of the cluster in the inventory is not audited, a sentence each. Files of older versions have none."""
    shard: ShardPart | None = None
    """Null: the whole fleet was audited. Files of older versions have none."""
    candidate: Name | None = None
    """The guest of --candidate, of which alone was asked, or the first of them; null: the fleet was. Files of older
    versions have none."""
    candidates: list[Name] = Field(default_factory=list)
    """All guests of --candidate; empty: the fleet was asked of. Files of older versions have none."""
    counts: CountsPart | None = None
    """Files of older versions have none."""
    advisories_dated: DateField | None = None
    """The day of the advisory data. Files of older versions have none."""
    inputs: list[InputPart] | None = None
    """Inventory, waivers, advisories, baseline and checks. Files of older versions have none."""
    verdict: Literal["COMPLIANT", "NOT COMPLIANT", "NOT DECIDED", "PARTIAL", "INCOMPLETE", "NO VERDICT"] | None = None
    """The headline of every report. Files of older versions have none."""


class PolicyPart(Part):
    """What was required of a target."""

    nested: Annotated[Nested, EnumField]
    persistence: Annotated[Persistence, EnumField]
    undeclared: Annotated[Undeclared, EnumField]

    def policy(self) -> Policy:
        """Return the policy."""
        return Policy(self.nested, self.persistence, self.undeclared)


class EvidenceFilePart(Part):
    """The evidence of a target, in the directory of its run."""

    file: Sentence
    """Its path below the directory."""
    sha256: Digest
    judged_sha256: Digest | None
    """Of the file of another run that was evaluated again; null: the target was observed in this run."""


class IncrementalPart(Part):
    """The result of --since for a target."""

    digest: dict[Name, Digest] | None
    """A SHA-256 for each kind of cheap reading; null: nothing can show later that the target is unchanged."""
    reason: Sentence | None
    """Why it was inspected again; null: it was not, as nothing had changed since `observed_at`."""

    def incremental(self) -> Incremental:
        """Return the result."""
        return Incremental(None if self.digest is None else TargetDigest(self.digest), self.reason)


class TargetRow(Part):
    """One target, and whether it could be inspected."""

    model_config = ConfigDict(
        json_schema_extra=if_then({"observed": {"const": True}}, {"error": _NULL, "address": {"type": "string"}})
    )
    name: Name
    level: Annotated[TargetLevel, EnumField]
    """auto: the level could not be determined."""
    host: Name | None
    """The L0 of an L1, where the inventory names it."""
    address: Sentence | None
    """Null: this guest is not reachable, it is evaluated from its L0 alone."""
    observed: bool
    error: Sentence | None
    """Why it could not be inspected."""
    policy: PolicyPart | None = None
    """Files of older versions have none."""
    observed_at: TimeField | None = None
    """When its evidence was read; null: it was not observed. Files of older versions have none."""
    evidence: EvidenceFilePart | None = None
    """Null: the run was merged of others, which have it. Files of older versions have none."""
    incremental: IncrementalPart | None = None
    """Null: a run without --since, or the target could not be inspected. Files of older versions have none."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        unobserved = not self.observed and self.error is None and self.address is not None
        if unobserved or (self.observed and (self.error is not None or self.address is None)):
            raise ValueError("contradicts itself: `observed`, `address` and `error` do not go together")
        return self

    def target(self) -> TargetResult:
        """Return the target's result."""
        policy = None if self.policy is None else self.policy.policy()
        return TargetResult(
            name=self.name,
            level=self.level,
            host=self.host,
            address=self.address,
            observed=self.observed,
            error=self.error,
            policy=policy,
            observed_at=self.observed_at,
            incremental=None if self.incremental is None else self.incremental.incremental(),
        )


class WaiverPart(Part):
    """A waiver; control, target and subject are glob patterns."""

    control: Line
    target: Line
    subject: Line | None
    """Null: every subject of the target."""
    reason: Line
    approver: Line
    expires: DateField | None
    """The waiver's last day, UTC; null: permanent, or until it is fixed."""
    source: Sentence
    """Where it is defined: file and line."""
    cause: CauseCode | None = None
    """The only cause that it accepts; null: any. Files of older versions have none."""
    accepts: Literal["unknown"] | None = None
    """What it accepts in place of findings. Files of older versions have none."""
    until: Literal["fixed"] | None = None
    """fixed: it ends when what it covers passes. Files of older versions have none."""
    advisories: list[Line] | None = None
    """The only advisories whose missing fixes it accepts; null: any. Only where the waiver names some."""

    def waiver(self) -> Waiver:
        """Return the waiver."""
        return Waiver(
            self.control,
            self.target,
            self.subject,
            self.reason,
            self.approver,
            self.expires,
            self.source,
            self.cause,
            self.accepts == "unknown",
            self.until == "fixed",
            None if self.advisories is None else tuple(self.advisories),
        )  # fmt: skip


class EvidencePart(Part):
    """One quotation that a result rests on."""

    source: Sentence
    text: str


class FindingPart(Part):
    """What identifies and describes a result, now or in a baseline."""

    control: Name
    target: Name
    """Where it was observed."""
    subject: Sentence
    """What it is about: the target itself, or a domain on it."""
    severity: SeverityField
    title: Sentence
    """The control's, stated as the compliant state."""
    message: Sentence


class ResultRow(FindingPart):
    """The result of one control for one subject."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                if_then({"outcome": {"enum": ["fail", "informational"]}}, {}, {"cause": _NULL}),
                if_then({"outcome": {"const": "fail"}}, {}, {"remediation": {"maxItems": 0}}),
                if_then({"outcome": {"enum": ["fail", "unknown"]}}, {}, {"waiver": _NULL}),
            ]
        }
    )
    control: ControlId
    outcome: Annotated[Outcome, EnumField]
    """XCCDF's words. error: could not be inspected. unknown: inspected, and the evidence does not decide."""
    cause: CauseField | None
    evidence: list[EvidencePart]
    remediation: list[Sentence]
    """One command a line, in the order in which they are safe to run; a line that starts with # is a comment."""
    waiver: WaiverPart | None
    """The waiver that accepts this finding, or this unknown; an expired one is not here."""
    drift: Annotated[Drift, EnumField] | None
    """Against the baseline; null where none was given."""
    decides: bool = False
    """Whether the control answers whether the subject complies. Files of older versions have none."""
    check: Sentence | None = None
    """The node id of a site's own check; results of other controls have none."""
    problem: Name | None = None
    """The id of a finding's problem. Files of older versions have none."""
    role: Annotated[Role, EnumField] | None = None
    """Whether it is the cause of that problem, or a consequence."""

    @model_validator(mode="after")
    def _only_findings_are_waived(self) -> Self:
        is_finding = self.outcome is Outcome.FAIL
        is_accepted = self.outcome is Outcome.UNKNOWN and self.waiver is not None and self.waiver.accepts == "unknown"
        if not is_finding and (self.remediation or not (self.waiver is None or is_accepted)):
            raise ValueError("contradicts itself: only a finding has a waiver or a remediation")
        if not is_finding and (self.problem is not None or self.role is not None):
            raise ValueError("contradicts itself: only a finding has a problem")
        if self.cause is not None and not is_finding and self.outcome is not Outcome.INFORMATIONAL:
            raise ValueError("contradicts itself: only a finding has a cause")
        return self

    def result(self) -> Result:
        """Return the result, with the waiver and the drift that its run gave it."""
        return Result(
            control=self.control,
            target=self.target,
            subject=self.subject,
            outcome=self.outcome,
            severity=self.severity,
            title=self.title,
            message=self.message,
            cause=self.cause,
            evidence=tuple(Evidence(item.source, item.text) for item in self.evidence),
            remediation=tuple(self.remediation),
            waiver=None if self.waiver is None else self.waiver.waiver(),
            drift=self.drift,
            decides=self.decides,
            check=self.check,
        )
