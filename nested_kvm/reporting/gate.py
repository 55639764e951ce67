"""The gate's verdict on each target, a line each, and the counts."""

from collections.abc import Iterator, Sequence
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.run import Result, Run, TargetResult, Threshold
from nested_kvm.util.text import plural, printable

_WORST: Final = {outcome: rank for rank, outcome in enumerate((Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN))}


def gate_lines(run: Run, threshold: Threshold) -> Iterator[tuple[str, bool]]:
    """Return the verdict line of each target, and whether it passes. Findings of its domain also block a guest.

    In a run that is not complete nothing passes.
    """
    blocks: dict[str, list[Result]] = {}
    hosts = {target.name: target.host for target in run.targets}
    for result in run.blocking(threshold):
        blocks.setdefault(result.target, []).append(result)
        if result.subject != result.target and hosts.get(result.subject) == result.target:
            blocks.setdefault(result.subject, []).append(result)
    for target in run.targets:
        yield _verdict(target, blocks.get(target.name, ()), complete=run.complete)


def counts_line(run: Run) -> str:
    """Return the number of results with each outcome, in one line."""
    counts = [f"{run.count(outcome)} {outcome.value}" for outcome in Outcome if run.count(outcome)]
    waived = len(run.waived())
    shown = ", ".join(counts) + (f" ({waived} waived)" if waived else "")
    sizes = f"{plural(len(run.targets), 'target')}, {plural(len(run.results), 'result')}"
    return f"{sizes}: {shown or 'nothing was evaluated'}"


def without(name: str, message: str) -> str:
    """Remove the target's name, which the line already has, from the start of a connection's message."""
    return message.removeprefix(f"{name}: ").removeprefix(f"{name} ")


def _verdict(target: TargetResult, blocks: Sequence[Result], *, complete: bool) -> tuple[str, bool]:
    name = printable(target.name)
    if blocks:
        return f"{name}  BLOCK  {_reason(name, min(blocks, key=_rank))}", False
    if target.error is not None:
        return f"{name}  BLOCK  {without(name, printable(target.error))}", False
    return (f"{name}  PASS", True) if complete else (f"{name}  INCOMPLETE", False)


def _reason(name: str, block: Result) -> str:
    source = f" ({printable(block.evidence[0].source)})" if block.evidence else ""
    return f"{block.control} {without(name, printable(block.message))}{source}"


def _rank(result: Result) -> tuple[int, int, str]:
    return _WORST[result.outcome], -result.severity, result.control
