"""The gate's verdict on each target, a line each, and the counts."""

from collections.abc import Iterator
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.run import Result, Run, Threshold
from nested_kvm.results.target_verdict import target_statuses
from nested_kvm.util.text import plural, printable

_WORST: Final = {outcome: rank for rank, outcome in enumerate((Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN))}


def gate_lines(run: Run, threshold: Threshold) -> Iterator[tuple[str, bool]]:
    """Return the verdict line of each target, and whether it passes."""
    for status in target_statuses(run, threshold):
        name = printable(status.target.name)
        reason = (
            _reason(name, min(status.blocks, key=_rank)) if status.blocks else without(name, printable(status.reason))
        )
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
    """Remove the target's name, which the line already has, from the start of a connection's message."""
    return message.removeprefix(f"{name}: ").removeprefix(f"{name} ")


def _reason(name: str, block: Result) -> str:
    source = f" ({printable(block.evidence[0].source)})" if block.evidence else ""
    return f"{block.control} {without(name, printable(block.message))}{source}"


def _rank(result: Result) -> tuple[int, int, str]:
    return _WORST[result.outcome], -result.severity, result.control
