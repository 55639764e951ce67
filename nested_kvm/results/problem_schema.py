"""The rows of `results.json` for problems, and for the answer that each target gets."""

from typing import Annotated

from pydantic import Field

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Nested
from nested_kvm.results.drift import Drift
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problem import Part as PlacePart
from nested_kvm.results.schema import EvidencePart
from nested_kvm.results.schema_fields import CauseField, EnumField, Name, Part, Sentence, SeverityField


class AnswerRow(Part):
    """Whether a host's guests, or a guest, can nest now and after the next boot of the host."""

    target: Name
    level: Annotated[TargetLevel, EnumField]
    host: Name | None
    nested: Annotated[Nested, EnumField] | None
    """What the policy asks for here; null: it is guarded, and the kernel does not decide."""
    now: Annotated[Answer, EnumField]
    after_boot: Annotated[Answer, EnumField]
    complies: bool | None
    """Whether both answers are what the policy asks for; null: that is not known."""
    cause: CauseField | None
    """Why they are not; null: they are, or no cause is known."""
    source: str
    """The reading that shows it, such as a file and line; empty: there is none."""
    reason: str
    """In words: why an answer is no, or is not known."""
    running: list[Sentence]
    """Of a host: the domains that run on it."""

    def answer(self) -> NestingAnswer:
        """Return the answer."""
        return NestingAnswer(
            target=self.target,
            level=self.level,
            host=self.host,
            nested=self.nested,
            now=self.now,
            after_boot=self.after_boot,
            cause=self.cause,
            source=self.source,
            reason=self.reason,
            running=tuple(self.running),
        )


class FindingRefPart(Part):
    """What identifies a finding within the file."""

    control: Name
    target: Name
    subject: Sentence
    check: Sentence | None = None


class ProblemPlacePart(Part):
    """Where a problem is fixed."""

    target: Name
    subject: Sentence
    """The target, or a domain on it."""
    part: Annotated[PlacePart, EnumField]
    source: str
    """The first reading that shows it, such as a file and line; empty: there is none."""


class ProblemRow(Part):
    """One cause at one place, the findings that follow from it, and the guests that it holds back.

    Every finding is in exactly one problem; errors and unknowns are in none.
    """

    id: Name
    """The same in every run, made of the cause and the place."""
    cause: CauseField | None
    """Null: a failed assertion of a site's own check."""
    place: ProblemPlacePart
    severity: SeverityField
    """Of the most severe finding that is not waived; where all are, of the most severe."""
    message: Sentence
    """Of the finding that is the cause."""
    evidence: list[EvidencePart]
    finding: FindingRefPart
    """The cause."""
    consequences: list[FindingRefPart]
    holds_back_now: list[Sentence]
    """Guests that must nest, and cannot because of it."""
    holds_back_after_boot: list[Sentence]
    """Guests that must nest, and will not after the next boot of their host because of it."""
    frees: list[Sentence]
    """Guests that nothing holds back once this problem and all before it are fixed."""
    commands: list[Sentence]
    """What fixes it, on the machine of the place, in a safe order; a line that starts with # is a comment."""
    shut_down_first: list[Sentence]
    """The running guests that have to be off for it."""
    restart_after: list[Sentence]
    """The guests that have to be shut down and started once it is fixed."""
    boot_makes_worse: bool
    """Whether the next boot brings a violation, or a guest that fails, that is not there yet."""
    waived: bool
    """Whether all of its findings are waived."""
    drift: Annotated[Drift, EnumField] | None = Field(...)
    """New where a finding of it is new against the baseline; null where there is no baseline."""
