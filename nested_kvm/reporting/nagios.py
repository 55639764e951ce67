"""The output for Nagios and Icinga: one line with performance data, and their exit statuses."""

from collections.abc import Iterator
from enum import IntEnum
from itertools import islice
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.exposure_text import (
    advisory_age_line,
    exposed_hosts,
    exposed_line,
    still_showing_line,
)
from nested_kvm.reporting.gate import gate_lines
from nested_kvm.reporting.lines import unchanged_line, waivers_ending
from nested_kvm.reporting.problem_text import place_of, what
from nested_kvm.reporting.terminal_output import IN_ASCII
from nested_kvm.reporting.verdict_text import no_verdict
from nested_kvm.results.run import Run, Threshold
from nested_kvm.results.run_verdict import RunVerdict, conclude
from nested_kvm.util.text import plural, printable

LINES: Final = 30
"""Lines of blocked targets: Nagios reads four KiB in all by default."""
WIDTH: Final = 90
_FIRST: Final = 160
_EXPOSED: Final = 5
_NOTES: Final = 5
_PROBLEMS: Final = 5
"""Lines about exposed hosts, about waivers that end soon, and about problems: with all of it Nagios reads the most."""


class State(IntEnum):
    """The exit statuses of a plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


def nagios_answer(run: Run, threshold: Threshold) -> tuple[State, str]:
    """Return the state, and what the plugin prints: the line, its performance data, and a line per blocked target.

    Only a run that evaluated everything, and found nothing, is OK. `threshold` is a gate's.
    """
    state = _state(run, threshold)
    blocked = [line for line, passes in gate_lines(run, threshold) if not passes]
    first = f"NESTED-KVM {state.name} - {_summary(run, len(blocked))} | {' '.join(_performance(run, threshold))}"
    notes = filter(None, (unchanged_line(run), still_showing_line(run), advisory_age_line(run), *waivers_ending(run)))
    hosts = [exposed_line(host) for host in exposed_hosts(run)[:_EXPOSED]]
    problems = [f"{place_of(each)}: {what(each)}" for each in run.problems.open[:_PROBLEMS]]
    details = [_plain(line) for line in (*hosts, *islice(notes, _NOTES), *problems, *blocked[:LINES])]
    more = [f"... and {len(blocked) - LINES} more"] if len(blocked) > LINES else []
    return state, "\n".join([first, *details, *more])


def refusal(message: str) -> str:
    """Return what the plugin prints where the run could not begin, or failed."""
    return f"NESTED-KVM {State.UNKNOWN.name} - {_plain(message, 500)}"


def _state(run: Run, threshold: Threshold) -> State:
    verdict = conclude(run).verdict
    if verdict is RunVerdict.NOT_COMPLIANT and any(each.is_open_finding for each in run.blocking(threshold)):
        return State.CRITICAL
    if verdict is not RunVerdict.COMPLIANT or run.undecided:
        return State.UNKNOWN
    return State.WARNING if run.findings() else State.OK


def _summary(run: Run, blocked: int) -> str:
    found = conclude(run)
    if found.verdict is RunVerdict.NO_VERDICT:
        return f"no verdict: {no_verdict(found)}"
    waived = f", {found.waived} waived" if found.waived else ""
    undecided = f", {plural(run.undecided, 'result')} undecided" if run.undecided else ""
    cut = f", {found.shortfall}" if found.shortfall else ""
    findings = plural(len(run.findings()), "finding")
    open_verdict = "not decided, " if found.verdict is RunVerdict.NOT_DECIDED else ""
    exposed = len(exposed_hosts(run))
    findings = f"{open_verdict}{f'{exposed} exposed, ' if exposed else ''}{findings}"
    return f"{_worst(run)}{findings}{waived}{undecided}{cut}, {blocked} of {plural(len(run.targets), 'target')} blocked"


def _worst(run: Run) -> str:
    """The first problem in the order of work, and how many more there are; empty: there is none."""
    problems = run.problems.open
    if not problems:
        return ""
    first, more = problems[0], len(problems) - 1
    code = first.finding.control if first.cause is None else first.cause.code
    rest = f" and {plural(more, 'more problem')}" if more else ""
    return f"{_plain(f'{code} at {place_of(first)}', _FIRST)}{rest}: "


def _performance(run: Run, threshold: Threshold) -> Iterator[str]:
    """Return `label=value;warn;crit;min`: every finding warns, and those that make the run fail are critical."""
    critical = sum(each.is_open_finding for each in run.blocking(threshold))
    unreachable = sum(each.error is not None for each in run.targets)
    yield f"targets={len(run.targets)};;;0"
    yield f"unreachable={unreachable};;;0"
    yield f"findings={len(run.findings())};0;;0"
    yield f"critical={critical};;0;0"
    yield f"waived={len(run.waived())};;;0"
    yield f"errors={run.count(Outcome.ERROR)};;;0"
    yield f"unknown={run.count(Outcome.UNKNOWN)};;;0"
    if run.drift is not None:
        yield f"new={run.drift.new};;;0"
    if run.finished is not None:
        yield f"time={(run.finished - run.started).total_seconds():.3f}s;;;0"


def _plain(text: str, width: int = WIDTH) -> str:
    """Make one line in ASCII; a bar would begin performance data."""
    return printable(text, width).translate(IN_ASCII).replace("|", "/").encode("ascii", "replace").decode("ascii")
