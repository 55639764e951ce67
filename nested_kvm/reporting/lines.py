"""Waivers, drift and properties of results as plain text, for several reports."""

from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Final

from nested_kvm.evidence.expansion import UNANSWERED
from nested_kvm.model.severity import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.drift import DriftSummary, PastFinding
from nested_kvm.results.incremental import unchanged_since
from nested_kvm.results.run import Reason, Result, Run
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse
from nested_kvm.util.text import first_of, plural, printable

_STATES: Final = {
    WaiverState.EXPIRED: "has expired; its findings count again",
    WaiverState.OTHER_CAUSE: "does not apply: the findings have another cause",
    WaiverState.MATCHES_NOTHING: "is stale: it matches nothing",
    WaiverState.CONTROL_PASSES: "is stale: what it covers passes",
}

_NAMED: Final = 5
"""Targets that a line names."""


def place(result: Result | Reason | PastFinding) -> str:
    """Return the target, and the subject where it differs."""
    target, subject = printable(result.target), printable(result.subject)
    return target if target == subject else f"{target} / {subject}"


def end_of(waiver: Waiver) -> str:
    """Return until when a waiver holds."""
    if waiver.until_fixed:
        return "until it is fixed" if waiver.expires is None else f"until it is fixed, at most {waiver.expires}"
    return "permanently" if waiver.expires is None else f"until {waiver.expires}"


def waived_line(result: Result) -> str:
    """Return a waived finding in one line."""
    waiver = result.waiver
    answer = "" if waiver is None else waived_because(waiver)
    return f"{place(result)}  {result.control}  {printable(answer)}"


def waivers_to_fix(uses: Sequence[WaiverUse]) -> Iterator[str]:
    """Return a line for each waiver that has expired or is stale."""
    for use in uses:
        if use.state in _STATES:
            waiver = use.waiver
            subject = "" if waiver.subject is None else f" / {waiver.subject}"
            what = f"the waiver of {waiver.control} for {waiver.target}{subject}"
            yield printable(f"{waiver.source}: {what} ({end_of(waiver)}) {_state(use)}", 1000)


def waivers_ending(run: Run) -> Iterator[str]:
    """Return a line for each waiver that ends soon, the first to end first."""
    today = run.started.date()
    ending = [use.waiver for use in run.waivers if use.waiver.ends_soon(today)]
    for waiver in sorted(ending, key=lambda each: (each.expires or today, each.source)):
        days = ((waiver.expires or today) - today).days
        when = "today" if days == 0 else f"in {plural(days, 'day')}"
        what = f"the waiver of {waiver.control} for {waiver.target}"
        yield printable(f"{waiver.source}: {what} ends {when}, on {waiver.expires}", 1000)


def _state(use: WaiverUse) -> str:
    if use.waiver.until_fixed and use.state in {WaiverState.EXPIRED, WaiverState.CONTROL_PASSES}:
        has_passed = use.state is WaiverState.CONTROL_PASSES
        return "has ended: what it covers passes" if has_passed else "has ended; its findings count again"
    if use.waiver.advisories is not None and use.state is WaiverState.OTHER_CAUSE:
        return f"does not apply: the findings have another cause than {', '.join(use.waiver.advisories)}"
    return _STATES[use.state]


def observed_line(run: Run) -> str:
    """Return when the evidence was read, from the oldest to the newest; empty: that is not known."""
    times = sorted(each.observed_at for each in run.targets if each.observed_at is not None)
    if not times:
        return ""
    first, last = (f"{each.astimezone(UTC):%Y-%m-%d %H:%M}" for each in (times[0], times[-1]))
    return f"evidence observed {first} UTC" if first == last else f"evidence observed {first} to {last} UTC"


def unchanged_line(run: Run) -> str:
    """Return which targets were not inspected again, as nothing had changed since an earlier run; empty: all were."""
    unchanged = [each for each in run.targets if each.is_unchanged]
    times = sorted(each.observed_at for each in unchanged if each.observed_at is not None)
    if not times:
        return ""
    names = ", ".join(first_of([printable(each.name) for each in unchanged], _NAMED))
    return f"{plural(len(unchanged), 'target')} {unchanged_since(times[0])} or later: {names}"


def inspected_again_lines(run: Run) -> list[str]:
    """Return a line for each reason for which `--since` had targets inspected again."""
    found: dict[str, list[str]] = {}
    for each in run.targets:
        if each.incremental is not None and each.incremental.reason is not None:
            found.setdefault(printable(each.incremental.reason), []).append(printable(each.name))
    return [f"inspected again, {reason}: {', '.join(first_of(names, _NAMED))}" for reason, names in found.items()]


def unanswered_lines(run: Run) -> list[str]:
    """Return a line for each reason why hosts gave no answer about candidates, so that the rule decided alone."""
    if not run.candidates:
        return []
    found: dict[str, dict[str, None]] = {}
    for result in run.results.sorted_by_target():
        for each in result.evidence:
            if each.source == UNANSWERED:
                found.setdefault(printable(each.text), {})[place(result)] = None
    return [f"{UNANSWERED}: {reason}: {', '.join(first_of(list(places), 3))}" for reason, places in found.items()]


def drift_line(drift: DriftSummary) -> str:
    """Return the comparison with the baseline in one line."""
    counts = f"{drift.new} new, {drift.persisting} persisting, {len(drift.fixed)} fixed, {len(drift.gone)} gone"
    unjudged = f", {len(drift.unjudged)} not re-evaluated" if drift.unjudged else ""
    since = drift.baseline_started.strftime("%Y-%m-%d %H:%M")
    return f"since the baseline of {since} ({printable(drift.baseline)}): {counts}{unjudged}"


def ended_lines(drift: DriftSummary) -> Iterator[str]:
    """Return a line for each finding of the baseline that this run does not have, and for each missing target."""
    for word, findings in (("fixed", drift.fixed), ("gone", drift.gone), ("not re-evaluated", drift.unjudged)):
        yield from (f"{place(each)}  {word}: {each.control} {printable(each.title)}" for each in findings)
    yield from (f"{printable(name)}  vanished: no longer in the inventory" for name in drift.vanished)


def waived_because(waiver: Waiver) -> str:
    """Return who accepted a finding, until when, and why."""
    word = "unknown accepted" if waiver.accepts_unknown else "waived"
    return f"{word} {end_of(waiver)} by {waiver.approver}: {waiver.reason}"


def properties(result: Result) -> dict[str, str]:
    """Return what readers of JUnit can group and filter by."""
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


def missing_part(run: Run) -> Iterator[Result]:
    """Yield one error for a run that is not whole: tables and events have no other place for it."""
    if not run.is_whole:
        title = "The run evaluated everything."
        yield Result("RUN-INCOMPLETE", "the run", "the run", Outcome.ERROR, Severity.CRITICAL, title, run.shortfall)
