"""`hdf.json`: the run in the Heimdall Data Format, as InSpec's exec-json."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, Final

from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.formats.json_pieces import json_document
from nested_kvm.reporting.lines import place, waived_because
from nested_kvm.reporting.problem_text import cause_line
from nested_kvm.results.run import Result, Run
from nested_kvm.util.text import printable, visible
from nested_kvm.util.times import iso_time

_IMPACT: Final = {Severity.CRITICAL: 1.0, Severity.HIGH: 0.7, Severity.MEDIUM: 0.5, Severity.LOW: 0.3}
_STATUS: Final = {
    Outcome.PASS: "passed",
    Outcome.INFORMATIONAL: "passed",
    Outcome.FAIL: "failed",
    Outcome.ERROR: "error",
}
"""Status of each outcome; the others are skipped, and their message says why."""
_NIST: Final = ["CM-6"]
"""Configuration settings; Heimdall groups controls by it."""


def hdf_json(run: Run) -> Iterator[str]:
    """Return every control with the result of each subject, as JSON text, piece by piece."""
    digest = sha256(json.dumps(sorted(run.results.titles().items())).encode()).hexdigest()
    duration = 0.0 if run.finished is None else (run.finished - run.started).total_seconds()
    document = {
        "platform": {"name": "nested-kvm-compliance", "release": run.version, "target_id": printable(run.inventory)},
        "version": run.version,
        "statistics": {"duration": duration},
        "profiles": iter(
            [
                {
                    "name": "nested-kvm-compliance",
                    "version": run.version,
                    "title": "Nested virtualization under KVM",
                    "summary": "Can every guest that must run virtual machines do so, and none that must not?",
                    "sha256": digest,
                    "status": "loaded",
                    "supports": [],
                    "attributes": [],
                    "groups": [],
                    "controls": _controls(run),
                }
            ]
        ),
    }
    return json_document(document)


@dataclass(frozen=True, slots=True)
class _Times:
    """When the evidence of each result was read; where that is not known, when the run started."""

    started: str
    observed: Mapping[str, str]

    def of(self, result: Result) -> str:
        """Return the time of a result."""
        return self.observed.get(result.target, self.started)


def _controls(run: Run) -> Iterator[dict[str, Any]]:
    observed = {each.name: iso_time(each.observed_at) for each in run.targets if each.observed_at is not None}
    times = _Times(iso_time(run.started), observed)
    fixes: dict[str, dict[str, None]] = {}
    for result in run.with_outcome(Outcome.FAIL):
        fixes.setdefault(result.control, {}).update(dict.fromkeys(map(visible, result.remediation)))
    for control, results in groupby(run.results.by_control(), key=attrgetter("control")):
        yield _control(run, results, fixes.get(control, {}), times)
    if not run.is_whole:
        yield _incomplete(run.shortfall, times.started)


def _control(run: Run, results: Iterator[Result], fixes: Iterable[str], times: _Times) -> dict[str, Any]:
    first = next(results)
    title = printable(first.title, 1000)
    return {
        "id": first.control,
        "title": title,
        "desc": title,
        "descriptions": [{"label": "fix", "data": "\n".join(fixes)}] if fixes else [],
        "impact": _IMPACT[first.severity],
        "tags": {"severity": str(first.severity), "nist": _NIST},
        "refs": [],
        "source_location": {},
        "code": "",
        "results": (_result(each, times.of(each), cause_line(run, each)) for each in chain([first], results)),
    }


def _incomplete(shortfall: str, started: str) -> dict[str, Any]:
    """Return a control that fails: viewers count only the results that are there."""
    return {
        "id": "RUN-INCOMPLETE",
        "title": "The run evaluated everything.",
        "desc": shortfall,
        "descriptions": [],
        "impact": _IMPACT[Severity.CRITICAL],
        "tags": {"severity": str(Severity.CRITICAL), "nist": _NIST},
        "refs": [],
        "source_location": {},
        "code": "",
        "results": [{"status": "error", "code_desc": "the run", "start_time": started, "message": shortfall}],
    }


def _result(result: Result, started: str, cause: str) -> dict[str, Any]:
    status = "skipped" if result.waiver is not None else _STATUS.get(result.outcome, "skipped")
    found: dict[str, Any] = {
        "status": status,
        "code_desc": f"{place(result)}: {printable(result.title, 1000)}",
        "start_time": started,
    }
    if status == "skipped":
        found["skip_message"] = _why_skipped(result, cause)
    elif status != "passed" or result.outcome is Outcome.INFORMATIONAL:
        found["message"] = _message(result, cause)
    return found


def _why_skipped(result: Result, cause: str) -> str:
    if result.waiver is None:
        return f"{result.outcome.value}: {_message(result, cause)}"
    return f"{waived_because(result.waiver)}\n{_message(result, cause)}"


def _message(result: Result, cause: str) -> str:
    evidence = [f"{printable(item.source)}: {printable(item.text, 500)}" for item in result.evidence]
    drift = [] if result.drift is None else [f"since the baseline: {result.drift.value}"]
    return "\n".join([*([cause] if cause else []), printable(result.message, 2000), *drift, *evidence])
