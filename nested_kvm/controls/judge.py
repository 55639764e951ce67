"""From what a check raised to a result: the only place where an exception becomes an outcome."""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from nested_kvm.controls.diagnose import fix_location
from nested_kvm.errors import NestedKvmError, NotCollected
from nested_kvm.evidence.reading import Status
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.control import Control, Level
from nested_kvm.model.verdict import Evidence, Finding, Outcome, Verdict
from nested_kvm.remediation import remediation
from nested_kvm.remediation.repair import repair
from nested_kvm.results.run import Result
from nested_kvm.util.text import printable

CHECKS: Final = "checks"
"""The folder of the checks."""
_JUDGED: Final = frozenset({Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN})


def judge(control: Control, subject: Subject, raised: BaseException | None, arguments: Mapping[str, object]) -> Result:
    """Make a result of what a check raised; None: it passed.

    A failed assertion of a site's own check is a finding without a cause. Any other exception is an error: the check
    could not be evaluated.
    """
    result = _with_gap(_judged(control, subject, raised, arguments), subject)
    return result if control.is_about_operations else _unless_binding(result, subject)


def _with_gap(result: Result, subject: Subject) -> Result:
    """The result; one that the evidence of a support archive does not decide names what the archive does not hold."""
    bundle = subject.machine.bundle
    if result.outcome is not Outcome.UNKNOWN or bundle.origin is None or bundle.origin.tool in result.message:
        return result
    gaps = (each.source for each in bundle.readings.values() if each.status is Status.NOT_COLLECTED)
    named = ", ".join(source for source in gaps if source in result.message)
    missing = f"does not hold {named}" if named else "does not decide it"
    return replace(result, message=f"{result.message}; {bundle.origin.title} {missing}")


def _judged(
    control: Control, subject: Subject, raised: BaseException | None, arguments: Mapping[str, object]
) -> Result:
    if isinstance(raised, Verdict):
        return _of_verdict(control, subject, raised)
    if raised is None:
        return _result(control, subject, Outcome.PASS, control.title, _evidence(arguments.values()))
    if control.level is Level.SITE and isinstance(raised, AssertionError | pytest.fail.Exception):
        return _result(control, subject, Outcome.FAIL, printable(raised) or "the assertion failed", ())
    if isinstance(raised, pytest.skip.Exception):
        return _result(control, subject, Outcome.NOTCHECKED, printable(raised), ())
    if isinstance(raised, NotCollected):
        return _result(control, subject, Outcome.UNKNOWN, str(raised), ())
    return _result(control, subject, Outcome.ERROR, _description(raised), ())


def _of_verdict(control: Control, subject: Subject, verdict: Verdict) -> Result:
    result = _result(control, subject, verdict.outcome, verdict.message, verdict.evidence)
    if isinstance(verdict, Finding):
        settled = subject.settled
        place = settled if verdict.at is None else fix_location(settled, settled.host, verdict.at)
        result = replace(result, cause=verdict.cause, remediation=tuple(remediation(place, verdict)))
        result = replace(result, severity=verdict.severity or result.severity)
        return replace(result, repair=repair(place, verdict) if place is settled else ())
    return result


def _result(control: Control, subject: Subject, outcome: Outcome, message: str, evidence: Iterable[Evidence]) -> Result:
    return Result(
        control=control.id,
        target=subject.machine.target.name,
        subject=subject.name,
        outcome=outcome,
        severity=control.severity,
        decides=control.decides,
        title=control.title,
        message=message,
        evidence=tuple(evidence),
    )


def _unless_binding(result: Result, subject: Subject) -> Result:
    """The result; only informational for a subject that no policy applies to."""
    if subject.policy.binding or result.outcome not in _JUDGED:
        return result
    message = f"not in the inventory (informational): {result.message}"
    return replace(result, outcome=Outcome.INFORMATIONAL, message=message, remediation=(), repair=())


def _evidence(arguments: Iterable[object]) -> Iterator[Evidence]:
    """The evidence of the facts that a check was given."""
    for fact in arguments:
        yield from getattr(fact, "evidence", ())


def _description(error: BaseException) -> str:
    if isinstance(error, NestedKvmError):
        return str(error)
    return f"check error{_place(error)}: {type(error).__name__}: {printable(error)}"


def _place(error: BaseException) -> str:
    """File and line of the check that an exception passed through last."""
    frames = traceback.extract_tb(error.__traceback__)
    paths = [(Path(frame.filename).parts, frame.lineno) for frame in frames]
    found = [("/".join(parts[parts.index(CHECKS) :]), line) for parts, line in paths if CHECKS in parts]
    return f" in {printable(found[-1][0])}:{found[-1][1]}" if found else ""
