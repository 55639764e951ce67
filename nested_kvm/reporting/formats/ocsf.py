"""`ocsf.json`: what was evaluated, as Compliance Findings (class 2003) of the Open Cybersecurity Schema Framework.

Source: the schema of OCSF 1.5.0, class `compliance_finding`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from itertools import chain
from typing import Any, Final

from nested_kvm.model.severity import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.formats.json_pieces import json_document
from nested_kvm.reporting.lines import missing_part, waived_because
from nested_kvm.results.problems import ref_of
from nested_kvm.results.run import Result, Run, TargetResult
from nested_kvm.util.text import printable, visible

VERSION: Final = "1.5.0"
"""Of OCSF."""
_FINDINGS: Final = 2
_COMPLIANCE_FINDING: Final = 2003
_CREATE: Final = 1
_SEVERITIES: Final = {Severity.LOW: 2, Severity.MEDIUM: 3, Severity.HIGH: 4, Severity.CRITICAL: 5}
_INFORMATIONAL: Final = 1
_COMPLIANCE: Final = {Outcome.PASS: (1, "Pass"), Outcome.FAIL: (3, "Fail")}
_UNDECIDED: Final = (0, "Unknown")
"""Of errors and unknowns: never a pass."""
_OTHER: Final = (99, "Informational")
_NEW: Final = 1
_SUPPRESSED: Final = 3
_MILLISECONDS: Final = 1000


def ocsf_json(run: Run) -> Iterator[str]:
    """Return one event for each result that applies, as a JSON array, piece by piece."""
    targets = {each.name: each for each in run.targets}
    results = chain(run.results.sorted_by_target(), missing_part(run))
    return json_document(_event(run, each, targets) for each in results if each.outcome.applies)


def _event(run: Run, result: Result, targets: Mapping[str, TargetResult]) -> dict[str, Any]:
    target = targets.get(result.target)
    observed = None if target is None else target.observed_at
    is_finding = result.outcome is Outcome.FAIL
    return {
        "category_uid": _FINDINGS,
        "class_uid": _COMPLIANCE_FINDING,
        "activity_id": _CREATE,
        "type_uid": _COMPLIANCE_FINDING * 100 + _CREATE,
        "time": _time(observed or run.started),
        "severity_id": _SEVERITIES[result.severity] if is_finding else _INFORMATIONAL,
        "message": printable(result.message, 2000),
        "metadata": _metadata(run),
        "finding_info": _finding_info(result),
        "compliance": _compliance(result),
        "resources": [_resource(result, target)],
        **(_as_finding(run, result) if is_finding else {}),
    }


def _as_finding(run: Run, result: Result) -> dict[str, Any]:
    found = run.problems.of(ref_of(result))
    commands = [visible(line) for line in result.remediation]
    return {
        "status_id": _NEW if result.waiver is None else _SUPPRESSED,
        **({} if result.waiver is None else {"comment": printable(waived_because(result.waiver), 2000)}),
        **({"remediation": {"desc": "\n".join(commands)}} if commands else {}),
        "unmapped": {
            "cause": None if result.cause is None else result.cause.code,
            "problem": None if found is None else found[0].id,
            "role": None if found is None else found[1].value,
            "drift": result.drift,
        },
    }


def _metadata(run: Run) -> dict[str, Any]:
    return {
        "version": VERSION,
        "correlation_uid": run.id,
        "product": {"name": "nested-kvm-compliance", "vendor_name": "nested-kvm-compliance", "version": run.version},
    }


def _finding_info(result: Result) -> dict[str, Any]:
    key = f"{result.target}\0{result.subject}\0{result.control}\0{result.check or ''}"
    return {
        "uid": sha256(key.encode(errors="replace")).hexdigest(),
        "title": printable(result.title, 1000),
        "analytic": {"name": result.control, "uid": result.control, "type_id": 1},
    }


def _compliance(result: Result) -> dict[str, Any]:
    otherwise = _UNDECIDED if result.outcome.is_undecided else _OTHER
    number, word = _COMPLIANCE.get(result.outcome, otherwise)
    details = [f"{printable(item.source)}: {printable(item.text, 500)}" for item in result.evidence]
    return {
        "control": result.control,
        "desc": printable(result.title, 1000),
        "standards": ["nested-kvm-compliance"],
        "status_id": number,
        "status": word,
        "status_code": result.outcome.value,
        **({"status_details": details} if details else {}),
    }


def _resource(result: Result, target: TargetResult | None) -> dict[str, Any]:
    host = None if target is None else target.host
    return {
        "name": printable(result.subject) or "unnamed",
        "uid": printable(f"{result.target}/{result.subject}"),
        "type": "virtual machine" if host or result.subject != result.target else "host",
        **({} if host is None else {"namespace": printable(host)}),
    }


def _time(moment: datetime) -> int:
    return int(moment.timestamp() * _MILLISECONDS)
