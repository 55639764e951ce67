"""The summary on the terminal when the run ends: enough to act on without opening the report."""

import textwrap
from collections.abc import Callable
from typing import Final

from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.exposure_text import (
    WAYS_OUT,
    advisory_age_line,
    exposed_hosts,
    exposed_line,
    exposure_headline,
    has_guarded,
    proof_lines,
    still_showing_line,
)
from nested_kvm.reporting.gate import counts_line, gate_lines, without
from nested_kvm.reporting.lines import (
    drift_line,
    ended_lines,
    observed_line,
    place,
    waived_line,
    waivers_ending,
    waivers_to_fix,
)
from nested_kvm.reporting.verdict_text import verdict_line
from nested_kvm.results.diagnosis import Diagnosis, LinkState, SeenLink
from nested_kvm.results.drift import DriftSummary
from nested_kvm.results.run import Reason, Result, Run, Threshold
from nested_kvm.results.run_verdict import RunVerdict, conclude
from nested_kvm.util.text import plural, printable, visible

Write = Callable[..., None]
_COMMAND: Final = "$ "
_SHOWN: Final = 50
"""Findings that are printed; the report has all."""
_NAMED: Final = 4
"""Controls that are named where one reason keeps several from being evaluated."""
_COLOURS: Final = {"critical": {"red": True, "bold": True}, "high": {"red": True}, "medium": {"yellow": True}}


def write_summary(
    run: Run, write: Write, *, threshold: Threshold, report: str | None, width: int | None = None
) -> None:
    """Print findings, what could not be inspected, waivers, drift, the counts and the verdict.

    Args:
        run: the finished run.
        write: prints one line; takes pytest's markup words (`red=True`).
        threshold: what makes the run fail; a gate prints one verdict line per target.
        report: where the report is.
        width: columns of the terminal, at which prose is wrapped; None: the output is not a terminal.
    """
    write = write if width is None else _wrapping(write, width)
    _exposure(run, write)
    _findings(run.findings(), write)
    _reasons("could not be inspected", run.reasons(Outcome.ERROR), write)
    _reasons("undetermined", run.reasons(Outcome.UNKNOWN), write)
    _diagnoses(_asked_of(run), write)
    _waivers(run, write)
    if run.drift is not None:
        _drift(run.drift, write)
    if threshold.gate:
        for line, passes in gate_lines(run, threshold):
            write(line, green=passes, red=not passes)
    for line in filter(None, (still_showing_line(run), advisory_age_line(run))):
        write(line, yellow=True)
    observed = observed_line(run)
    if observed:
        write(observed)
    write(counts_line(run))
    write(verdict_line(run), **_markup(run))
    if report is not None:
        write(f"report: {report}")


def _wrapping(write: Write, width: int) -> Write:
    """Wrap lines between words, and indent what follows; commands stay whole, so that they can be copied."""

    def wrapped(line: str, **markup: bool) -> None:
        text = line.lstrip(" ")
        if text.startswith(_COMMAND) or len(line) <= width:
            write(line, **markup)
            return
        indent = " " * (len(line) - len(text))
        lines = textwrap.wrap(
            text,
            width,
            initial_indent=indent,
            subsequent_indent=f"{indent}    ",
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
            replace_whitespace=False,
        )
        for each in lines:
            write(each, **markup)

    return wrapped


def _markup(run: Run) -> dict[str, bool]:
    found = conclude(run)
    if found.verdict is RunVerdict.COMPLIANT:
        return {"green": True, "bold": not (found.known or found.other or found.waived or found.accepted)}
    return {"yellow" if found.verdict is RunVerdict.NOT_DECIDED else "red": True, "bold": True}


def _exposure(run: Run, write: Write) -> None:
    """Print who is exposed; and where a policy is guarded, the state of every advisory with what shows it."""
    exposed = exposed_hosts(run)
    if exposed:
        write("")
        write(exposure_headline(run), red=True, bold=True)
        for host in exposed[:_SHOWN]:
            write(f"  {exposed_line(host)}", red=True)
        _more(len(exposed), "host", write)
        write(f"  {WAYS_OUT}")
    shown = run.exposures if has_guarded(run) else []
    for host in shown[:_SHOWN]:
        for line in proof_lines(host):
            write(line, green=host.state == "fixed", red=host.state == "exposed", yellow=host.state == "undecided")
    _more(len(shown), "host", write)


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
            write(f"    {_COMMAND}{visible(line)}" if not line.startswith("#") else f"      {visible(line)}")
    _more(len(findings), "finding", write)
    if findings:
        write("")


def _more(count: int, noun: str, write: Write) -> None:
    if count > _SHOWN:
        write(f"… and {count - _SHOWN} more {plural(count, noun).partition(' ')[2]} in the report")


def _reasons(heading: str, reasons: list[Reason], write: Write) -> None:
    for reason in reasons[:_SHOWN]:
        where = place(reason)
        message = without(where, printable(reason.message))
        write(f"{where}  {heading}: {message}  [{_controls(reason)}]", yellow=True)
    _more(len(reasons), "reason", write)


def _controls(reason: Reason) -> str:
    named = reason.controls
    return ", ".join(named) if len(named) <= _NAMED else plural(len(named), "control")


def _asked_of(run: Run) -> list[Diagnosis]:
    """The diagnoses of the guests that a narrowed run asked something of; otherwise of all."""
    if not run.is_partial:
        return run.diagnoses
    asked = {name for result in run.results.sorted_by_target() for name in (result.target, result.subject)}
    return [each for each in run.diagnoses if each.target in asked]


def _diagnoses(diagnoses: list[Diagnosis], write: Write) -> None:
    """Print whether each guest can nest; with its chain where it cannot."""
    for each in diagnoses[:_SHOWN]:
        name = printable(each.target)
        for warning in each.warnings:
            write(f"{name}  {printable(warning)}", yellow=True)
        if each.can_nest is Answer.YES:
            write(f"{name}  can nest", green=True)
            continue
        word = "cannot nest" if each.can_nest is Answer.NO else "nesting unknown"
        write(f"{name}  {word}: {printable(each.explanation)}", yellow=True)
        write(f"  {' → '.join(_link(link) for link in each.links)}")
    _more(len(diagnoses), "guest", write)


def _link(link: SeenLink) -> str:
    marks = {LinkState.HOLDS: "✓", LinkState.BROKEN: "✗", LinkState.UNSEEN: "?", LinkState.NOTCHECKED: "-"}
    return f"{marks[link.state]} {link.name.value}"


def _waivers(run: Run, write: Write) -> None:
    waived = [*run.waived(), *run.accepted()]
    for result in waived[:_SHOWN]:
        write(waived_line(result))
    _more(len(waived), "waived finding", write)
    for line in (*waivers_to_fix(run.waivers), *waivers_ending(run)):
        write(line, yellow=True)


def _drift(drift: DriftSummary, write: Write) -> None:
    ended = list(ended_lines(drift))
    for line in ended[:_SHOWN]:
        write(line)
    _more(len(ended), "change", write)
    write(drift_line(drift))
