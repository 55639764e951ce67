"""The answer for Nagios and Icinga: one line with performance data, and their exit statuses."""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.gate import gate_lines
from nested_kvm.results.run import ExitStatus, Run, Threshold
from nested_kvm.util.text import printable

LINES: Final = 40
"""Of details below the first line: Nagios reads four KiB in all by default."""
WIDTH: Final = 90


class State(IntEnum):
    """The exit statuses of a plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


def nagios_answer(run: Run, threshold: Threshold) -> tuple[State, str]:
    """The state, and what the plugin prints: the line, its performance data, and a line for each target that blocks.

    Only a run that judged everything, and found nothing, is OK. `threshold` is a gate's.
    """
    state = _state(run, threshold)
    blocked = [line for line, passes in gate_lines(run, threshold) if not passes]
    first = f"NESTED-KVM {state.name} - {_summary(run, state, len(blocked))} | {' '.join(_performance(run, threshold))}"
    details = [_plain(line) for line in blocked[:LINES]]
    more = [f"... and {len(blocked) - LINES} more"] if len(blocked) > LINES else []
    return state, "\n".join([first, *details, *more])


def refusal(message: str) -> str:
    """What the plugin prints where the run could not begin, or not end as it should."""
    return f"NESTED-KVM {State.UNKNOWN.name} - {_plain(message, 500)}"


def _state(run: Run, threshold: Threshold) -> State:
    if run.exit_status not in {ExitStatus.COMPLIANT, ExitStatus.FINDING, ExitStatus.NOT_OBSERVED}:
        return State.UNKNOWN
    if any(each.is_open_finding for each in run.blocking(threshold)):
        return State.CRITICAL
    unseen = run.count(Outcome.ERROR, Outcome.UNKNOWN)
    if unseen or not run.complete or run.exit_status != ExitStatus.COMPLIANT:
        return State.UNKNOWN
    return State.WARNING if run.findings() else State.OK


def _summary(run: Run, state: State, blocked: int) -> str:
    if state is State.UNKNOWN and run.exit_status not in {ExitStatus.FINDING, ExitStatus.NOT_OBSERVED}:
        return f"no verdict: the run ended with exit status {run.exit_status}"
    waived = f", {len(run.waived())} waived" if run.waived() else ""
    unseen = run.count(Outcome.ERROR, Outcome.UNKNOWN)
    undecided = f", {unseen} results undecided" if unseen else ""
    cut = "" if run.complete else f", {run.shortfall}"
    return f"{len(run.findings())} findings{waived}{undecided}{cut}, {blocked} of {len(run.targets)} targets blocked"


def _performance(run: Run, threshold: Threshold) -> Iterator[str]:
    """`label=value;warn;crit;min`: every finding warns, and those that make the run fail are critical."""
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
    """One line in ASCII; a bar would begin performance data."""
    return printable(text, width).replace("|", "/").encode("ascii", "replace").decode("ascii")
