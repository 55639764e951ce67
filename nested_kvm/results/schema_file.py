"""The whole of `results.json`: its rows as a merge checks them, and the JSON Schema that is generated from them.

`python -m nested_kvm.results.schema_file > nested_kvm/schema/results-1.schema.json` writes the schema.
"""

import json
import sys
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

from nested_kvm.model.answer import Answer
from nested_kvm.model.link import LinkName
from nested_kvm.model.verdict import Evidence
from nested_kvm.results.diagnosis import Diagnosis, LinkState, SeenLink
from nested_kvm.results.drift import PastFinding
from nested_kvm.results.exposure import CveExposure, HostExposure
from nested_kvm.results.problem_schema import AnswerRow, ProblemRow
from nested_kvm.results.reader import Row, Unusable
from nested_kvm.results.run import RESULTS_SCHEMA
from nested_kvm.results.schema import EvidencePart, FindingPart, ResultRow, RunPart, TargetRow, WaiverPart, if_then
from nested_kvm.results.schema_fields import (
    CauseCode,
    CauseField,
    Count,
    DateField,
    EnumField,
    Name,
    Part,
    Sentence,
    TimeField,
    first_problem,
)
from nested_kvm.results.waiver import WaiverState, WaiverUse
from nested_kvm.util.described_schema import DescribedSchema

PastState = Literal["fixed", "gone", "unjudged"]
Checked = TypeVar("Checked", bound=Part)


class LinkPart(Part):
    """What was seen of one link: it holds, is broken, could not be seen, or was not checked."""

    link: Annotated[LinkName, EnumField]
    state: Annotated[LinkState, EnumField]
    text: str


class DiagnosisRow(Part):
    """Whether an L1 can run an L2, and if not, which link between it and its L0 is broken."""

    model_config = ConfigDict(
        json_schema_extra=if_then(
            {"can_nest": {"const": "yes"}}, {"broken_link": {"type": "null"}, "cause": {"type": "null"}}
        )
    )
    target: Name
    host: Name | None
    can_nest: Annotated[Answer, EnumField]
    broken_link: Annotated[LinkName, EnumField] | None
    cause: CauseField | None
    explanation: Sentence
    remediation: list[Sentence]
    warnings: list[Sentence]
    """What works now, and will not after the next boot or the guest's next start."""
    links: Annotated[list[LinkPart], Field(min_length=1)]
    """The whole chain, from the L0's CPU to an L2, in its order."""

    def diagnosis(self) -> Diagnosis:
        """Return the diagnosis."""
        return Diagnosis(
            target=self.target,
            host=self.host,
            can_nest=self.can_nest,
            links=tuple(SeenLink(link.link, link.state, link.text) for link in self.links),
            explanation=self.explanation,
            broken_link=self.broken_link,
            cause=self.cause,
            remediation=tuple(self.remediation),
            warnings=tuple(self.warnings),
        )


class CvePart(Part):
    """One advisory on one host."""

    id: Name
    name: Sentence | None
    published: DateField
    """The day on which its fix was published."""
    is_fixed: Annotated[Answer, EnumField]
    """Whether the running kernel has the fix."""
    reached: Annotated[Answer, EnumField]
    """Whether guests reach it now; unknown where they may after the next load."""
    reason: Sentence
    proof: EvidencePart | None
    """The line that decides."""

    def cve(self) -> CveExposure:
        """Return the advisory's state."""
        proof = None if self.proof is None else Evidence(self.proof.source, self.proof.text)
        return CveExposure(
            self.id, self.name, self.published, self.is_fixed, self.reached, self.reason, proof
        )  # fmt: skip


class ExposureRow(Part):
    """Which published vulnerabilities the guests of a host reach."""

    target: Name
    kernel: Sentence
    """The release, and the package where it is known."""
    reach: Sentence
    """What opens or closes nesting, now and after the next load."""
    state: Literal["exposed", "undecided", "closed", "fixed"]
    """closed: the kernel is vulnerable, and no guest reaches it."""
    cves: list[CvePart]
    guests: list[Sentence]
    """Those whose running CPU has the flag, as far as they are known."""
    device_is_open: bool
    """Whether every account may open /dev/kvm."""
    forbids: bool
    """Whether nesting must be off here, by the policy."""
    installed_fix: Sentence | None
    """The fixed kernel that is installed and not booted."""

    def exposure(self) -> HostExposure:
        """Return the exposure."""
        return HostExposure(
            target=self.target,
            kernel=self.kernel,
            reach=self.reach,
            cves=tuple(each.cve() for each in self.cves),
            guests=tuple(self.guests),
            device_is_open=self.device_is_open,
            forbids=self.forbids,
            installed_fix=self.installed_fix,
        )


class WaiverUseRow(Part):
    """A waiver of the file, and its status in this run."""

    waiver: WaiverPart
    state: Annotated[WaiverState, EnumField]
    """unjudged: what it covers was not evaluated in this run."""
    findings: Count
    """How many it matches."""

    def use(self) -> WaiverUse:
        """Return the waiver's use."""
        return WaiverUse(self.waiver.waiver(), self.state, self.findings)


class PastRow(FindingPart):
    """A finding of the baseline."""

    cause: CauseCode | None = None
    """Files of older versions have none."""
    check: Sentence | None = None
    """The node id of a site's own check. Files of older versions have none."""

    def finding(self) -> PastFinding:
        """Return the finding."""
        return PastFinding(
            self.control,
            self.target,
            self.subject,
            self.severity,
            self.title,
            self.message,
            self.cause,
            self.check,
        )


class VanishedRow(Part):
    """A target of the baseline that is no longer in the inventory."""

    name: Name


class BaselinePart(Part):
    """The run that was compared with."""

    file: Sentence
    id: Name
    started: TimeField


class DriftPart(Part):
    """This run compared with a baseline: all but the lists, which a merge reads row by row."""

    baseline: BaselinePart
    new: Count
    persisting: Count


class WholeDrift(DriftPart):
    """This run compared with a baseline."""

    fixed: list[PastRow]
    gone: list[PastRow]
    unjudged: list[PastRow]
    """Findings of the baseline that this run did not re-evaluate."""
    vanished: list[Name]
    """Targets of the baseline that are no longer in the inventory."""


class ResultsFile(Part):
    """The results of one run of nested-kvm-compliance, for programs."""

    schema_: Literal["nested-kvm-compliance/results/1"] = Field(alias="schema")
    run: RunPart
    targets: list[TargetRow]
    results: list[ResultRow]
    diagnoses: list[DiagnosisRow]
    answers: list[AnswerRow] = Field(default_factory=list)
    """One for each target. Files of older versions have none."""
    problems: list[ProblemRow] = Field(default_factory=list)
    """Every finding, in the order of work. Files of older versions have none."""
    exposures: list[ExposureRow] = Field(default_factory=list)
    """One for each host whose kernel was inspected. Files of older versions have none."""
    waivers: list[WaiverUseRow] = Field(default_factory=list)
    """Every waiver of the file, and its status. Files of older versions have none."""
    drift: WholeDrift | None = None
    """Null where no baseline was given. Files of older versions have none."""


def checked(part: type[Checked], row: Row) -> Checked:
    """Validate a row.

    Raises:
        Unusable: the row is not valid; the message names the place within the file.
    """
    value: Any = row.value
    try:
        return part.model_validate(value)
    except ValidationError as error:
        raise Unusable(first_problem(error, row.place)) from None


class _Generator(DescribedSchema):
    """Leaves out titles, which repeat the keys, and the length limits, which are a merge's own."""

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    @override
    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        found = super().str_schema(schema)
        found.pop("maxLength", None)
        return found


def json_schema() -> str:
    """Return the JSON Schema of `results.json`, as text."""
    generated = ResultsFile.model_json_schema(schema_generator=_Generator)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": RESULTS_SCHEMA,
        "title": "results.json",
    }
    for each in generated["$defs"].values():
        each.pop("title", None)
    return json.dumps({**head, **generated}, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(json_schema())
