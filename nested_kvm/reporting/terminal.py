"""What an operator reads when the run ends: enough to act on without opening the report."""

from collections.abc import Callable
from typing import Final

from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.gate import counts_line, gate_lines, without
from nested_kvm.reporting.lines import drift_line, ended_lines, place, waived_line, waivers_to_mend
from nested_kvm.results.diagnosis import Diagnosis, LinkState, SeenLink
from nested_kvm.results.drift import Drift, DriftSummary
from nested_kvm.results.run import ExitStatus, Reason, Result, Run, Threshold
from nested_kvm.util.text import printable, visible

Write = Callable[..., None]
_SHOWN: Final = 50
"""Findings that are printed; the report has all."""
_COLOURS: Final = {"critical": {"red": True, "bold": True}, "high": {"red": True}, "medium": {"yellow": True}}


def write_summary(run: Run, write: Write, *, threshold: Threshold, report: str | None) -> None:
    """Print findings, what could not be looked at, waivers, drift, the counts and the verdict.

    Args:
        run: all that came of the run.
        write: prints one line; takes pytest's markup words (`red=True`).
        threshold: what makes the run fail; a gate prints one verdict line per target.
        report: where the report is.
    """
    _findings(run.findings(), write)
    _reasons("could not be looked at", run.reasons(Outcome.ERROR), write)
    _reasons("not decided by the evidence", run.reasons(Outcome.UNKNOWN), write)
    _diagnoses(run.diagnoses, write)
    _waivers(run, write)
    if run.drift is not None:
        _drift(run.drift, write)
    if threshold.gate:
        for line, passes in gate_lines(run, threshold):
            write(line, green=passes, red=not passes)
    write(counts_line(run))
    text, markup = verdict(run)
    write(text, **markup)
    if report is not None:
        write(f"report: {report}")


def _findings(findings: list[Result], write: Write) -> None:
    for result in findings[:_SHOWN]:
        severity = str(result.severity)
        write("")
        drift = "" if result.drift is None else f"  {result.drift}"
        write(f"{place(result)}  {result.control}  {severity}{drift}", **_COLOURS.get(severity, {}))
        write(f"  {printable(result.message)}")
        if result.cause is not None:
            write(f"  {result.cause.code}: {result.cause.explanation}")
        for item in result.evidence:
            write(f"    {printable(item.source)}: {printable(item.text)}")
        for line in result.remediation:
            write(f"    $ {visible(line)}" if not line.startswith("#") else f"      {visible(line)}")
    if len(findings) > _SHOWN:
        write(f"\n… and {len(findings) - _SHOWN} more findings, in the report")
    if findings:
        write("")


def _reasons(heading: str, reasons: list[Reason], write: Write) -> None:
    for reason in reasons[:_SHOWN]:
        where = place(reason)
        message = without(where, printable(reason.message))
        write(f"{where}  {heading}: {message}  [{', '.join(reason.controls)}]", yellow=True)
    if len(reasons) > _SHOWN:
        write(f"… and {len(reasons) - _SHOWN} more, in the report")


def _diagnoses(diagnoses: list[Diagnosis], write: Write) -> None:
    """Whether each guest can nest; with its chain where it cannot."""
    for each in diagnoses[:_SHOWN]:
        name = printable(each.target)
        for warning in each.warnings:
            write(f"{name}  {printable(warning)}", yellow=True)
        if each.can_nest is Answer.YES:
            write(f"{name}  can nest", green=True)
            continue
        word = "cannot nest" if each.can_nest is Answer.NO else "may or may not nest"
        write(f"{name}  {word}: {printable(each.explanation)}", yellow=True)
        write(f"  {' → '.join(_link(link) for link in each.links)}")
    if len(diagnoses) > _SHOWN:
        write(f"… and {len(diagnoses) - _SHOWN} more guests, in the report")


def _link(link: SeenLink) -> str:
    marks = {LinkState.HOLDS: "✓", LinkState.BROKEN: "✗", LinkState.UNSEEN: "?", LinkState.NOTCHECKED: "-"}
    return f"{marks[link.state]} {link.name.value}"


def _waivers(run: Run, write: Write) -> None:
    waived = run.waived()
    for result in waived[:_SHOWN]:
        write(waived_line(result))
    if len(waived) > _SHOWN:
        write(f"… and {len(waived) - _SHOWN} more waived findings, in the report")
    for line in waivers_to_mend(run.waivers):
        write(line, yellow=True)


def _drift(drift: DriftSummary, write: Write) -> None:
    ended = list(ended_lines(drift))
    for line in ended[:_SHOWN]:
        write(line)
    if len(ended) > _SHOWN:
        write(f"… and {len(ended) - _SHOWN} more, in the report")
    write(drift_line(drift))


def verdict(run: Run) -> tuple[str, dict[str, bool]]:
    """The verdict in words, and how pytest marks it up."""
    if run.exit_status == ExitStatus.COMPLIANT and run.complete:
        return f"COMPLIANT{_but(run)}", {"green": True, "bold": not _but(run)}
    if run.exit_status == ExitStatus.FINDING and run.findings():
        return f"NOT COMPLIANT{_cut(run)}", {"red": True, "bold": True}
    if run.exit_status in {ExitStatus.FINDING, ExitStatus.NOT_OBSERVED}:
        return f"NOT DECIDED: something could not be looked at{_cut(run)}", {"yellow": True, "bold": True}
    if not run.complete:
        return f"INCOMPLETE: {run.shortfall.removeprefix('INCOMPLETE: ')}", {"red": True, "bold": True}
    return f"NO VERDICT: the run ended with exit status {run.exit_status}", {"red": True, "bold": True}


def _cut(run: Run) -> str:
    return "" if run.complete else f"; {run.shortfall}"


def _but(run: Run) -> str:
    """What a compliant run has findings for."""
    findings = run.findings()
    if any(each.drift is Drift.PERSISTING for each in findings):
        return " but for what the baseline has as well, or what is of a lower severity than --fail-on"
    if findings:
        return " at this --fail-on: every finding is of a lower severity"
    return " but for what is waived" if run.waived() else ""
