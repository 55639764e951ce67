"""The baseline: an earlier run's `results.json`, compared with this run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from nested_kvm.errors import FileUnusable, UsageError
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.results.drift import Drift, DriftSummary, PastFinding
from nested_kvm.results.exposure import LACKING, lacking_fixes
from nested_kvm.results.reader import SIZE_LIMIT
from nested_kvm.results.run import RESULTS_SCHEMA, Result
from nested_kvm.results.schema import FindingPart
from nested_kvm.results.schema_fields import CauseCode, EnumField, Name, Part, Sentence, TimeField, first_problem
from nested_kvm.results.scope import RunScope
from nested_kvm.results.waiver import Waiver
from nested_kvm.util.files import read_bounded
from nested_kvm.util.text import printable

Key = tuple[str, str, str]
"""Target, subject and control."""


class _Lenient(Part):
    """Only the keys that are compared; a later minor version may add others."""

    model_config = ConfigDict(extra="ignore")


class _Run(_Lenient):
    id: Name
    started: TimeField


class _Target(_Lenient):
    name: Name


class _Evidence(_Lenient):
    source: str
    text: str


def _open_only(given: object) -> object:
    """Keep what shows an advisory to be open: the evidence of a large fleet would fill the memory."""
    if not isinstance(given, list):
        return given
    texts = ((each, each.get("text") if isinstance(each, dict) else None) for each in given)
    return [each for each, text in texts if not isinstance(text, str) or text.startswith(LACKING)]


class _Result(FindingPart):
    model_config = ConfigDict(extra="ignore")
    evidence: Annotated[list[_Evidence], BeforeValidator(_open_only)] = Field(default_factory=list)
    outcome: Annotated[Outcome, EnumField]
    cause: CauseCode | None = None
    waiver: dict[str, Any] | None = None
    check: Sentence | None = None


class _Waiver(_Lenient):
    control: str
    target: str
    subject: str | None = None
    reason: str
    approver: str


class _Use(_Lenient):
    waiver: _Waiver


class _Schema(_Lenient):
    schema_: Any = Field(None, alias="schema")


class _File(_Lenient):
    run: _Run
    targets: list[_Target]
    results: list[_Result]
    waivers: list[_Use] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Past:
    """The baseline's results of one target, subject and control; a site's tests may share such a key."""

    findings: tuple[PastFinding, ...]
    waived: tuple[PastFinding, ...]
    """Those of the findings that were waived."""
    passed: frozenset[str | None]
    """The site checks that passed; None: a control of ours, or a check of which the id is not known."""
    opened: frozenset[str] = frozenset()
    """The advisories that the findings name as open."""

    def is_of_same_kind(self, finding: PastFinding, result: Result) -> bool:
        """Whether a finding of now has the cause of that one, and names no advisory as open that was not open then."""
        code = None if result.cause is None else result.cause.code
        return finding.cause == code and lacking_fixes(result.evidence) <= self.opened

    def relevant(self, result: Result) -> list[PastFinding]:
        """The findings of the same site check, whatever their cause."""
        return [each for each in self.findings if _is_same_check(each, result)]


def load_baseline(path: Path, fleet: frozenset[str]) -> "Baseline":
    """Read an earlier run of the same fleet.

    Raises:
        UsageError: it cannot be read, is of another schema, or has no target of `fleet`.
    """
    file = _parse(path)
    targets = frozenset(target.name for target in file.targets)
    if not targets & fleet:
        known = ", ".join(printable(name, 60) for name in sorted(targets)[:5]) or "none at all"
        raise UsageError(f"--baseline: {path} is of another fleet: it has none of these targets (it has {known})")
    waivers = frozenset(tuple(each.waiver.model_dump().values()) for each in file.waivers)
    return Baseline(path, file.run.id, file.run.started, targets, dict(_by_key(file.results)), waivers=waivers)


class Baseline:
    """The earlier run."""

    def __init__(
        self,
        path: Path,
        identifier: str,
        started: datetime,
        targets: frozenset[str],
        past: dict[Key, Past],
        *,
        waivers: frozenset[tuple[str | None, ...]] = frozenset(),
    ) -> None:
        self._path = path
        self._id = identifier
        self._started = started
        self._targets = targets
        self._past = past
        self._waivers = waivers
        self._items: dict[tuple[str | None, ...], list[str]] = {}

    def has_ended(self, waiver: Waiver, result: Result) -> bool:
        """Whether the earlier run knew this waiver, and saw pass what it covers here, or its finding count again."""
        known = (waiver.control, waiver.target, waiver.subject, waiver.reason, waiver.approver)
        past = self._past.get((result.target, result.subject, result.control))
        if known not in self._waivers or past is None:
            return False
        counted = [each for each in past.findings if each not in past.waived]
        return bool(past.passed or counted)

    def drift_of(self, item: str, result: Result) -> Drift | None:
        """Return the drift of this result, if either run has a finding. `item` distinguishes results of one key.

        A finding persists only with the same cause, and while no other advisory is open: else it is a new one.
        """
        past = self._past.get((result.target, result.subject, result.control))
        if result.outcome is Outcome.FAIL:
            return Drift.NEW if past is None else self._of_finding(item, result, past)
        findings = [] if past is None else past.relevant(result)
        if past is None or not findings or findings[0].check in past.passed or not result.outcome.is_evaluated:
            return None
        return Drift.FIXED if result.outcome is Outcome.PASS else Drift.GONE

    def _of_finding(self, item: str, result: Result, past: Past) -> Drift:
        code = None if result.cause is None else result.cause.code
        same = [each for each in past.relevant(result) if past.is_of_same_kind(each, result)]
        failing = self._items.setdefault((result.target, result.subject, result.control, code, _check_of(same)), [])
        if item not in failing:
            failing.append(item)
        if failing.index(item) >= len(same):
            return Drift.NEW
        was_waived = any(each in past.waived for each in same)
        return Drift.NEW if result.is_open_finding and was_waived else Drift.PERSISTING

    def summary(self, results: Sequence[Result], unsettled: frozenset[str], scope: RunScope) -> DriftSummary:
        """Return the whole comparison. `unsettled` names the targets on which something could not be inspected."""
        now: dict[Key, list[Result]] = {}
        for result in results:
            now.setdefault((result.target, result.subject, result.control), []).append(result)
        ended: dict[str, list[PastFinding]] = {"fixed": [], "gone": [], "unjudged": []}
        for key, past in sorted(self._past.items()):
            present = now.get(key, [])
            for finding in _over(past, present):
                same = [each for each in present if _is_same_check(finding, each)]
                ended[_end(finding, same, unsettled, scope)].append(finding)
        return DriftSummary(
            baseline=str(self._path),
            baseline_id=self._id,
            baseline_started=self._started,
            new=sum(each.drift is Drift.NEW for each in results),
            persisting=sum(each.drift is Drift.PERSISTING for each in results),
            fixed=tuple(ended["fixed"]),
            gone=tuple(ended["gone"]),
            unjudged=tuple(ended["unjudged"]),
            vanished=tuple(sorted(self._targets - scope.fleet)),
        )


def _end(finding: PastFinding, present: Sequence[Result], unsettled: frozenset[str], scope: RunScope) -> str:
    outcomes = {each.outcome for each in present}
    if not all(outcome.is_evaluated for outcome in outcomes):
        return "unjudged"
    if outcomes:
        return "fixed" if Outcome.PASS in outcomes else "gone"
    if finding.target not in scope.fleet:
        return "gone"
    is_open = finding.target not in scope.audited or finding.target in unsettled or finding.control in scope.unasked
    return "unjudged" if is_open or not scope.is_whole else "gone"


def _over(past: Past, present: Sequence[Result]) -> Iterator[PastFinding]:
    """The findings that this run does not have: each of the run's findings matches one of the same kind and check."""
    failing = [each for each in present if each.outcome is Outcome.FAIL]
    for finding in past.findings:
        match = next(
            (each for each in failing if _is_same_check(finding, each) and past.is_of_same_kind(finding, each)), None
        )
        if match is None:
            yield finding
        else:
            failing.remove(match)


def _is_same_check(finding: PastFinding, result: Result) -> bool:
    return finding.check is None or finding.check == result.check


def _check_of(findings: Sequence[PastFinding]) -> str | None:
    return findings[0].check if findings else None


def _by_key(results: Sequence[_Result]) -> Iterator[tuple[Key, Past]]:
    keyed: dict[Key, list[_Result]] = {}
    for result in results:
        keyed.setdefault((result.target, result.subject, result.control), []).append(result)
    for key, group in keyed.items():
        failed = [each for each in group if each.outcome is Outcome.FAIL]
        yield (
            key,
            Past(
                findings=tuple(_past(each) for each in failed),
                waived=tuple(_past(each) for each in failed if each.waiver is not None),
                passed=frozenset(each.check for each in group if each.outcome is Outcome.PASS),
                opened=lacking_fixes(Evidence(each.source, each.text) for part in failed for each in part.evidence),
            ),
        )


def _past(result: _Result) -> PastFinding:
    return PastFinding(
        result.control,
        result.target,
        result.subject,
        result.severity,
        result.title,
        result.message,
        result.cause,
        result.check,
    )


def _parse(path: Path) -> _File:
    try:
        data = read_bounded(path, SIZE_LIMIT)
    except FileUnusable as error:
        raise UsageError(f"--baseline: {path}: {error}") from None
    try:
        schema = _Schema.model_validate_json(data).schema_
        if schema != RESULTS_SCHEMA:
            raise UsageError(f"--baseline: {path} is of schema {printable(schema, 60)!r}, not {RESULTS_SCHEMA!r}")
        return _File.model_validate_json(data)
    except ValidationError as error:
        raise UsageError(f"--baseline: {path} is not a results.json: {first_problem(error)}") from None
