"""What a row of another run's `results.json` must be."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nested_kvm.inventory.shard import MOST
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.merging.fields import ControlId, Day, Grade, Line, Name, Number, Sentence, Time, Why, Word
from nested_kvm.model.answer import Answer
from nested_kvm.model.link import LinkName
from nested_kvm.model.policy import Nested, Persistence, Undeclared
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.diagnosis import LinkState
from nested_kvm.results.drift import Drift
from nested_kvm.results.reader import Row, Unusable
from nested_kvm.results.waiver import WaiverState
from nested_kvm.util.text import printable


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ShardPart(_Part):
    """`run.shard`."""

    number: Annotated[int, Field(ge=1)]
    of: Annotated[int, Field(ge=1, le=MOST)]
    fleet: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.number > self.of:
            raise ValueError(f"there is no shard {self.number} of {self.of}")
        return self


class CountsPart(_Part):
    """`run.counts`: what the rows say as well."""

    findings: Annotated[int, Field(ge=0)]
    undecided: Annotated[int, Field(ge=0)]


class RunPart(_Part):
    """`run`."""

    id: Name
    started: Time
    finished: Time
    version: Name
    inventory: Sentence
    exit_status: Annotated[int, Field(ge=0, le=6)]
    complete: bool | None = None
    shard: ShardPart | None = None
    counts: CountsPart | None = None


class PolicyPart(_Part):
    """A target's policy."""

    nested: Annotated[Nested, Word]
    persistence: Annotated[Persistence, Word]
    undeclared: Annotated[Undeclared, Word]


class TargetRow(_Part):
    """An item of `targets`."""

    name: Name
    level: Annotated[TargetLevel, Word]
    host: Name | None
    address: Sentence | None
    observed: bool
    error: Sentence | None
    policy: PolicyPart | None = None

    @model_validator(mode="after")
    def _says_what_came_of_it(self) -> Self:
        unobserved = not self.observed and self.error is None and self.address is not None
        if unobserved or (self.observed and (self.error is not None or self.address is None)):
            raise ValueError("contradicts itself: `observed`, `address` and `error` do not go together")
        return self


class WaiverPart(_Part):
    """A waiver."""

    control: Line
    target: Line
    subject: Line | None
    reason: Line
    approver: Line
    expires: Day | None
    source: Sentence


class EvidencePart(_Part):
    """What a result rests on."""

    source: Sentence
    text: str


class ResultRow(_Part):
    """An item of `results`."""

    control: ControlId
    target: Name
    subject: Sentence
    outcome: Annotated[Outcome, Word]
    severity: Grade
    title: Sentence
    message: Sentence
    cause: Why | None
    evidence: list[EvidencePart]
    remediation: list[Sentence]
    waiver: WaiverPart | None
    drift: Annotated[Drift, Word] | None

    @model_validator(mode="after")
    def _only_findings_are_waived(self) -> Self:
        is_finding = self.outcome is Outcome.FAIL
        if not is_finding and (self.waiver is not None or self.remediation):
            raise ValueError("contradicts itself: only a finding has a waiver or a remedy")
        if self.cause is not None and not is_finding and self.outcome is not Outcome.INFORMATIONAL:
            raise ValueError("contradicts itself: what is no finding has no cause")
        return self


class LinkPart(_Part):
    """A link of a chain."""

    link: Annotated[LinkName, Word]
    state: Annotated[LinkState, Word]
    text: str


class DiagnosisRow(_Part):
    """An item of `diagnoses`."""

    target: Name
    host: Name | None
    can_nest: Annotated[Answer, Word]
    broken_link: Annotated[LinkName, Word] | None
    cause: Why | None
    explanation: Sentence
    remediation: list[Sentence]
    warnings: list[Sentence]
    links: Annotated[list[LinkPart], Field(min_length=1)]


class WaiverUseRow(_Part):
    """An item of `waivers`."""

    waiver: WaiverPart
    state: Annotated[WaiverState, Word]
    findings: Number


class PastRow(_Part):
    """A finding of the baseline."""

    control: Name
    target: Name
    subject: Sentence
    severity: Grade
    title: Sentence
    message: Sentence


class VanishedRow(_Part):
    """A target of the baseline that the fleet no longer has."""

    name: Name


class BaselinePart(_Part):
    """What was compared with."""

    file: Sentence
    id: Name
    started: Time


class DriftPart(_Part):
    """`drift`, without its lists."""

    baseline: BaselinePart
    new: Number
    persisting: Number


PastState = Literal["fixed", "gone", "unjudged"]
Part = TypeVar("Part", bound=_Part)


def checked(part: type[Part], row: Row) -> Part:
    """Validate a row.

    Raises:
        Unusable: it names the place within the file.
    """
    value: Any = row.value
    try:
        return part.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join((row.place, *(str(each) for each in problem["loc"])))
        raise Unusable(f"{printable(place, 200)}: {printable(problem['msg'])}") from None
