"""What an operator reads when the run ends: enough to act on without opening the report."""

from collections.abc import Callable
from itertools import groupby
from typing import Final

from nested_kvm.results import ExitStatus, Result, Run
from nested_kvm.text import printable
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
    _grouped("could not be looked at", run.ended(Outcome.ERROR), write)
    _grouped("not decided by the evidence", run.ended(Outcome.UNKNOWN), write)
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
            write(f"    $ {line}" if not line.startswith("#") else f"      {line}")
    if len(findings) > _SHOWN:
        write(f"\n… and {len(findings) - _SHOWN} more findings, in the report")
    if findings:
        write("")


def _grouped(heading: str, results: list[Result], write: Write) -> None:
    """One line for each reason, however many controls it kept from being judged."""

    def reason(result: Result) -> tuple[str, str]:
        return _where(result), printable(result.message)

    groups = [(key, list(members)) for key, members in groupby(sorted(results, key=reason), key=reason)]
    for (where, message), members in groups[:_SHOWN]:
        controls = ", ".join(dict.fromkeys(result.control for result in members))
        write(f"{where}  {heading}: {message}  [{controls}]", yellow=True)
    if len(groups) > _SHOWN:
        write(f"… and {len(groups) - _SHOWN} more, in the report")


def _gate_lines(run: Run, write: Write) -> None:
    blocking = {Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN}
    worst = {outcome: rank for rank, outcome in enumerate((Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN))}
    for target in run.targets:
        blocks = [each for each in run.results if each.target == target.name and each.outcome in blocking]
        name = printable(target.name)
        if not blocks:
            write(f"{name}  PASS", green=True)
            continue
        first = min(blocks, key=lambda each: (worst[each.outcome], -each.severity, each.control))
        source = f" ({printable(first.evidence[0].source)})" if first.evidence else ""
        write(f"{name}  BLOCK  {first.control} {printable(first.message)}{source}", red=True)


def _verdict(run: Run) -> tuple[str, dict[str, bool]]:
    if run.exit_status == ExitStatus.COMPLIANT and run.count(Outcome.FAIL):
        return "COMPLIANT at this --fail-on: every finding is of a lower severity", {"green": True}
    if run.exit_status == ExitStatus.COMPLIANT:
        return "COMPLIANT", {"green": True, "bold": True}
    if run.exit_status == ExitStatus.FINDING and run.count(Outcome.FAIL):
        return "NOT COMPLIANT", {"red": True, "bold": True}
    if run.exit_status in {ExitStatus.FINDING, ExitStatus.NOT_OBSERVED}:
        return "NOT DECIDED: something could not be looked at", {"yellow": True, "bold": True}
    return f"NO VERDICT: the run ended with exit status {run.exit_status}", {"red": True, "bold": True}


def _where(result: Result) -> str:
    target, subject = printable(result.target), printable(result.subject)
    return target if target == subject else f"{target} / {subject}"
