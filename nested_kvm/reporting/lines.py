"""Waivers and drift in plain lines, for the terminal and the Markdown summary."""

from collections.abc import Iterator, Sequence
from typing import Final

from nested_kvm.results.drift import DriftSummary, PastFinding
from nested_kvm.results.run import Reason, Result
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse
from nested_kvm.util.text import printable

_STATES: Final = {
    WaiverState.EXPIRED: "is over: what it covered counts",
    WaiverState.MATCHES_NOTHING: "is stale: it matches nothing",
    WaiverState.CONTROL_PASSES: "is stale: what it covers passes",
}


def place(result: Result | Reason | PastFinding) -> str:
    """The target, and the subject where that is another."""
    target, subject = printable(result.target), printable(result.subject)
    return target if target == subject else f"{target} / {subject}"


def end_of(waiver: Waiver) -> str:
    """Until when it holds."""
    return "permanently" if waiver.expires is None else f"until {waiver.expires}"


def waived_line(result: Result) -> str:
    """A finding that somebody answers for."""
    waiver = result.waiver
    answer = "" if waiver is None else f"waived {end_of(waiver)} by {waiver.approver}: {waiver.reason}"
    return f"{place(result)}  {result.control}  {printable(answer)}"


def waivers_to_mend(uses: Sequence[WaiverUse]) -> Iterator[str]:
    """The waivers that are over, and those that nobody needs any more."""
    for use in uses:
        if use.state in _STATES:
            waiver = use.waiver
            subject = "" if waiver.subject is None else f" / {waiver.subject}"
            what = f"the waiver of {waiver.control} for {waiver.target}{subject}"
            yield printable(f"{waiver.source}: {what} ({end_of(waiver)}) {_STATES[use.state]}", 1000)


def drift_line(drift: DriftSummary) -> str:
    """The whole comparison in one line."""
    counts = f"{drift.new} new, {drift.persisting} persisting, {len(drift.fixed)} fixed, {len(drift.gone)} gone"
    unjudged = f", {len(drift.unjudged)} not judged again" if drift.unjudged else ""
    since = drift.baseline_started.strftime("%Y-%m-%d %H:%M")
    return f"since the baseline of {since} ({printable(drift.baseline)}): {counts}{unjudged}"


def ended_lines(drift: DriftSummary) -> Iterator[str]:
    """Each finding of the baseline that this run does not have, and each target that it does not know."""
    for word, findings in (("fixed", drift.fixed), ("gone", drift.gone), ("not judged again", drift.unjudged)):
        yield from (f"{place(each)}  {word}: {each.control} {printable(each.title)}" for each in findings)
    yield from (f"{printable(name)}  vanished: the fleet no longer has this target" for name in drift.vanished)


def waived_because(waiver: Waiver) -> str:
    """Who answers for a finding, until when, and why."""
    return f"waived {end_of(waiver)} by {waiver.approver}: {waiver.reason}"


def properties(result: Result) -> dict[str, str]:
    """What a reader of JUnit may group and filter by."""
    found = {
        "control": result.control,
        "target": printable(result.target),
        "subject": printable(result.subject),
        "outcome": result.outcome.value,
        "severity": str(result.severity),
        "cause": "" if result.cause is None else result.cause.code,
        "drift": result.drift or "",
        "waiver": "" if result.waiver is None else result.waiver.source,
    }
    return {name: str(value) for name, value in found.items() if value}
