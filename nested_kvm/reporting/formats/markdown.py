"""`summary.md`: what a person reads first, where CI shows Markdown."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.gate import counts_line
from nested_kvm.reporting.lines import drift_line, ended_lines, place, waived_line, waivers_to_mend
from nested_kvm.reporting.terminal import verdict
from nested_kvm.results.run import Reason, Result, Run
from nested_kvm.util.text import printable

LIMIT: Final = 1024 * 1024 - 1024
"""Bytes: GitHub drops a step's summary of more than one MiB."""
LEAST: Final = 1024
"""Bytes: below that nothing worth reading fits."""
_ROOM_FOR_END: Final = 200
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()#+!|<>&~@])")


def summary_markdown(run: Run, limit: int = LIMIT) -> str:
    """The verdict, findings by severity, what could not be judged, waivers and drift, in at most `limit` bytes."""
    kept: list[str] = []
    size = 0
    for line in _lines(run):
        size += len(line.encode(errors="replace")) + 1
        if size > limit - _ROOM_FOR_END:
            kept.append("\n… and more: this summary is cut, the report has all.")
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def _lines(run: Run) -> Iterator[str]:
    yield from ("## Nested KVM compliance", "", f"**{_safe(verdict(run)[0])}**", "", f"{_safe(counts_line(run))}.")
    if run.drift is not None:
        yield from ("", _safe(drift_line(run.drift)) + ".")
    yield from _findings(run.findings())
    yield from _reasons("Could not be looked at", run.reasons(Outcome.ERROR))
    yield from _reasons("Not decided by the evidence", run.reasons(Outcome.UNKNOWN))
    yield from _list("Waivers to mend", waivers_to_mend(run.waivers))
    yield from _list("Waived", map(waived_line, run.waived()))
    if run.drift is not None:
        yield from _list("Since the baseline", ended_lines(run.drift))


def _findings(findings: Iterable[Result]) -> Iterator[str]:
    rows = [
        f"| {each.severity} | {_safe(place(each))} | {each.control} | {_safe(each.message)} | {_drift(each)} |"
        for each in findings
    ]
    if rows:
        yield from ("", "### Findings", "", "| severity | where | control | finding | drift |", "|---|---|---|---|---|")
        yield from rows


def _drift(result: Result) -> str:
    return "" if result.drift is None else result.drift.value


def _reasons(heading: str, reasons: Iterable[Reason]) -> Iterator[str]:
    lines = (f"{place(each)}: {printable(each.message)} ({', '.join(each.controls)})" for each in reasons)
    yield from _list(heading, lines)


def _list(heading: str, lines: Iterable[str]) -> Iterator[str]:
    items = [f"- {_safe(line)}" for line in lines]
    if items:
        yield from ("", f"### {heading}", "", *items)


def _safe(text: str) -> str:
    """Text that is no markup, whatever it holds: neither Markdown's, nor HTML's, nor a mention of a person."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", printable(text, 600))
