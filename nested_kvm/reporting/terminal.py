"""What an operator reads when the run ends: enough to act on without opening the report."""

from collections.abc import Callable
from typing import Final

from nested_kvm.chain import LinkState, SeenLink
from nested_kvm.diagnosis import CanNest, Diagnosis
from nested_kvm.results import ExitStatus, Reason, Result, Run
from nested_kvm.text import printable, visible
from nested_kvm.verdict import Outcome

Write = Callable[..., None]
_SHOWN: Final = 50
"""Findings that are printed; the report has all."""
_COLOURS: Final = {"critical": {"red": True, "bold": True}, "high": {"red": True}, "medium": {"yellow": True}}


def write_summary(run: Run, write: Write, *, gate: bool, report: str | None) -> None:
    """Print findings, what could not be looked at, the counts and the verdict.

    Args:
        run: all that came of the run.
        write: prints one line; takes pytest's markup words (`red=True`).
        gate: print one verdict line per target.
        report: where the report is.
    """
    _findings(run.ended(Outcome.FAIL), write)
    _reasons("could not be looked at", run.reasons(Outcome.ERROR), write)
    _reasons("not decided by the evidence", run.reasons(Outcome.UNKNOWN), write)
    _diagnoses(run.diagnoses, write)
    if gate:
        _gate_lines(run, write)
    counts = ", ".join(f"{run.count(outcome)} {outcome.value}" for outcome in Outcome if run.count(outcome))
    write(f"{len(run.targets)} targets, {len(run.results)} results: {counts or 'nothing was judged'}")
    text, markup = _verdict(run)
    write(text, **markup)
    if report is not None:
        write(f"report: {report}")


def _findings(findings: list[Result], write: Write) -> None:
    for result in findings[:_SHOWN]:
        severity = str(result.severity)
        write("")
        write(f"{_where(result)}  {result.control}  {severity}", **_COLOURS.get(severity, {}))
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
        where = _where(reason)
        message = _without(where, printable(reason.message))
        write(f"{where}  {heading}: {message}  [{', '.join(reason.controls)}]", yellow=True)
    if len(reasons) > _SHOWN:
        write(f"… and {len(reasons) - _SHOWN} more, in the report")


def _diagnoses(diagnoses: list[Diagnosis], write: Write) -> None:
    """Whether each guest can nest; with its chain where it cannot."""
    for each in diagnoses[:_SHOWN]:
        name = printable(each.target)
        for warning in each.warnings:
            write(f"{name}  {printable(warning)}", yellow=True)
        if each.can_nest is CanNest.YES:
            write(f"{name}  can nest", green=True)
            continue
        word = "cannot nest" if each.can_nest is CanNest.NO else "may or may not nest"
        write(f"{name}  {word}: {printable(each.explanation)}", yellow=True)
        write(f"  {' → '.join(_link(link) for link in each.links)}")
    if len(diagnoses) > _SHOWN:
        write(f"… and {len(diagnoses) - _SHOWN} more guests, in the report")


def _link(link: SeenLink) -> str:
    marks = {LinkState.HOLDS: "✓", LinkState.BROKEN: "✗", LinkState.UNSEEN: "?", LinkState.NOTCHECKED: "-"}
    return f"{marks[link.state]} {link.name.value}"


def _gate_lines(run: Run, write: Write) -> None:
    blocking = {Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN}
    worst = {outcome: rank for rank, outcome in enumerate((Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN))}
    for target in run.targets:
        blocks = [each for each in run.results if each.target == target.name and each.outcome in blocking]
        name = printable(target.name)
        if not blocks:
            write(f"{name}  PASS", green=True) if run.complete else write(f"{name}  INCOMPLETE", red=True)
            continue
        first = min(blocks, key=lambda each: (worst[each.outcome], -each.severity, each.control))
        source = f" ({printable(first.evidence[0].source)})" if first.evidence else ""
        write(f"{name}  BLOCK  {first.control} {_without(name, printable(first.message))}{source}", red=True)


def _verdict(run: Run) -> tuple[str, dict[str, bool]]:
    if run.exit_status == ExitStatus.COMPLIANT and run.count(Outcome.FAIL):
        return "COMPLIANT at this --fail-on: every finding is of a lower severity", {"green": True}
    if run.exit_status == ExitStatus.COMPLIANT:
        return "COMPLIANT", {"green": True, "bold": True}
    if run.exit_status == ExitStatus.FINDING and run.count(Outcome.FAIL):
        return "NOT COMPLIANT", {"red": True, "bold": True}
    if run.exit_status in {ExitStatus.FINDING, ExitStatus.NOT_OBSERVED}:
        return "NOT DECIDED: something could not be looked at", {"yellow": True, "bold": True}
    if not run.complete:
        return "INCOMPLETE: the run ended before everything was judged", {"red": True, "bold": True}
    return f"NO VERDICT: the run ended with exit status {run.exit_status}", {"red": True, "bold": True}


def _without(name: str, message: str) -> str:
    """What a connection says starts with its target's name, which stands there already."""
    return message.removeprefix(f"{name}: ").removeprefix(f"{name} ")


def _where(result: Result | Reason) -> str:
    target, subject = printable(result.target), printable(result.subject)
    return target if target == subject else f"{target} / {subject}"
