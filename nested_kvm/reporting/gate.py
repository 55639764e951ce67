"""The gate's verdict on each target, a line each, and the counts."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.problem_text import cause_line
from nested_kvm.results.incremental import unchanged_since
from nested_kvm.results.run import Result, Run, Threshold
from nested_kvm.results.target_verdict import target_statuses
from nested_kvm.util.text import plural, printable

_ENDPOINT: Final = re.compile(r"^\(([^()]+)\): ")
_WORST: Final = {outcome: rank for rank, outcome in enumerate((Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN))}


def gate_lines(run: Run, threshold: Threshold) -> Iterator[tuple[str, bool]]:
    """Return the verdict line of each target, and whether it passes."""
    for status in target_statuses(run, threshold):
        name = printable(status.target.name)
        if status.blocks:
            reason = _reason(run, name, min(status.blocks, key=partial(_rank, run)))
        else:
            reason = without(name, printable(status.reason))
        if status.target.is_unchanged and status.target.observed_at is not None:
            reason = "; ".join(filter(None, (reason, unchanged_since(status.target.observed_at))))
        yield f"{name}  {status.verdict.value}  {reason}".rstrip(), status.passes


def counts_line(run: Run) -> str:
    """Return the number of results with each outcome, in one line."""
    counts = [f"{run.count(outcome)} {outcome.value}" for outcome in Outcome if run.count(outcome)]
    waived, accepted = len(run.waived()), len(run.accepted())
    notes = [f"{waived} waived"] * bool(waived) + [f"{accepted} unknown accepted"] * bool(accepted)
    shown = ", ".join(counts) + (f" ({', '.join(notes)})" if notes else "")
    sizes = f"{plural(len(run.targets), 'target')}, {plural(len(run.results), 'result')}"
    return f"{sizes}: {shown or 'nothing was evaluated'}"


def without(name: str, message: str) -> str:
    """Remove the target's name, which the line already has, from the start of a connection's message.

    The endpoint that may follow it in brackets then needs none: `127.0.0.1 port 22: unreachable`.
    """
    rest = message.removeprefix(f"{name}: ").removeprefix(f"{name} ")
    return message if rest == message else _ENDPOINT.sub(r"\1: ", rest)


def _reason(run: Run, name: str, block: Result) -> str:
    cause = cause_line(run, block)
    source = f" ({printable(block.evidence[0].source)})" if block.evidence else ""
    return f"{block.control} {f'{cause}: ' if cause else ''}{without(name, printable(block.message))}{source}"


def _rank(run: Run, result: Result) -> tuple[int, bool, int, str]:
    """Causes before what follows from them, whatever their severity."""
    return _WORST[result.outcome], bool(cause_line(run, result)), -result.severity, result.control
