"""`sarif.json`: the findings as SARIF 2.1.0, for code scanning and other viewers."""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.formats.json_pieces import json_document
from nested_kvm.reporting.lines import end_of, waived_because
from nested_kvm.reporting.problem_text import cause_line, in_order_of_work, problem_properties
from nested_kvm.results.drift import Drift
from nested_kvm.results.run import Result, Run
from nested_kvm.results.waiver import Waiver
from nested_kvm.util.text import printable, visible
from nested_kvm.util.times import iso_time

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final = {
    Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note",
}  # fmt: skip
_SCORES: Final = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}
"""Scores to which GitHub gives the same names."""
_BASELINE: Final = {Drift.NEW: "new", Drift.PERSISTING: "unchanged"}
_FILE_AND_LINE: Final = re.compile(r"(?P<path>/[^:\n]+)(?::(?P<line>[1-9][0-9]{0,8}))?")


def sarif_json(run: Run) -> Iterator[str]:
    """Return the run as SARIF, piece by piece.

    Findings are results, each cause before what follows from it, waived ones suppressed; what could not be evaluated is
    a notification.
    """
    findings = in_order_of_work(run, run.with_outcome(Outcome.FAIL))
    rules = sorted({each.control: each for each in findings}.items())
    places = {control: number for number, (control, _) in enumerate(rules)}
    observed = {each.name: iso_time(each.observed_at) for each in run.targets if each.observed_at is not None}
    driver = {
        "name": "nested-kvm-compliance",
        "version": run.version,
        "rules": [_rule(each) for _, each in rules],
    }
    document = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": iter(
            [
                {
                    "tool": {"driver": driver},
                    "automationDetails": {"id": "nested-kvm-compliance/", "guid": run.id},
                    "invocations": [_invocation(run)],
                    "columnKind": "unicodeCodePoints",
                    "results": (
                        _result(run, each, places[each.control], observed.get(each.target)) for each in findings
                    ),
                }
            ]
        ),
    }
    return json_document(document)


def _rule(result: Result) -> dict[str, Any]:
    return {
        "id": result.control,
        "shortDescription": {"text": printable(result.title, 1000)},
        "help": {"text": f"{printable(result.title, 1000)} See {result.control} in docs/controls.md."},
        "defaultConfiguration": {"level": _LEVELS[result.severity]},
        "properties": {
            "security-severity": _SCORES[result.severity],
            "severity": str(result.severity),
            "tags": ["security", "virtualization"],
        },
    }


def _result(run: Run, result: Result, rule: int, observed: str | None) -> dict[str, Any]:
    key = f"{result.target}\0{result.subject}\0{result.control}"
    found: dict[str, Any] = {
        "ruleId": result.control,
        "ruleIndex": rule,
        "level": _LEVELS[result.severity],
        "message": {"text": _message(result, cause_line(run, result))},
        "locations": list(_locations(result)),
        "partialFingerprints": {"nestedKvmFinding/v1": sha256(key.encode(errors="replace")).hexdigest()},
        "properties": {
            "target": printable(result.target),
            "subject": printable(result.subject),
            "cause": None if result.cause is None else result.cause.code,
            "observedAt": observed,
            **problem_properties(run, result),
        },
    }
    if result.drift in _BASELINE:
        found["baselineState"] = _BASELINE[result.drift]
    found["suppressions"] = [] if result.waiver is None else [_suppression(result.waiver)]
    return found


def _message(result: Result, cause: str) -> str:
    lines = [f"{printable(result.subject)}: {f'{cause}: ' if cause else ''}{printable(result.message, 2000)}"]
    lines += [f"{printable(item.source)}: {printable(item.text, 500)}" for item in result.evidence]
    lines += [f"$ {visible(line)}" for line in result.remediation]
    return "\n".join(lines)


def _suppression(waiver: Waiver) -> dict[str, Any]:
    justification = f"{waiver.reason} (approved by {waiver.approver}, {end_of(waiver)}; {printable(waiver.source)})"
    return {"kind": "external", "status": "accepted", "justification": justification}


def _locations(result: Result) -> Iterator[dict[str, Any]]:
    """Return the place of the first evidence: viewers want one file and line, below the target's name."""
    source = result.evidence[0].source if result.evidence else ""
    found = _FILE_AND_LINE.fullmatch(source)
    path = quote(result.target, safe="", errors="replace") + (quote(found["path"], errors="replace") if found else "")
    line = int(found["line"] or 1) if found else 1
    names = list(dict.fromkeys((printable(result.target), printable(result.subject))))
    yield {
        "physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": line}},
        "logicalLocations": [{"fullyQualifiedName": "/".join(names), "kind": "resource"}],
    }


def _invocation(run: Run) -> dict[str, Any]:
    undecided = [each for kind in (Outcome.ERROR, Outcome.UNKNOWN) for each in run.with_outcome(kind)]
    found: dict[str, Any] = {
        "executionSuccessful": run.is_whole and run.exit_status in {0, 1} and not run.count(Outcome.ERROR),
        "startTimeUtc": iso_time(run.started),
        "toolExecutionNotifications": [*_incomplete(run), *_notifications(undecided)],
    }
    if run.finished is not None:
        found["endTimeUtc"] = iso_time(run.finished)
    if run.exit_status is not None:
        found["exitCode"] = run.exit_status
    return found


def _incomplete(run: Run) -> list[dict[str, Any]]:
    return [] if run.is_whole else [{"level": "error", "message": {"text": run.shortfall}}]


def _notification_level(result: Result) -> str:
    if result.outcome is Outcome.ERROR:
        return "error"
    return "warning" if result.waiver is None else "note"


def _undecided(result: Result) -> str:
    accepted = "" if result.waiver is None else f" ({waived_because(result.waiver)})"
    return f"{result.control} {printable(result.subject)}: {printable(result.message, 1000)}{accepted}"


def _notifications(undecided: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        {
            "level": _notification_level(each),
            "message": {"text": _undecided(each)},
        }
        for each in undecided
    ]
