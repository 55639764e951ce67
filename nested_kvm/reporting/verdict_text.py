"""A run's verdict in words, for the terminal, summary.md and Nagios."""

from collections.abc import Iterator

from nested_kvm.results.run import ExitStatus, Run
from nested_kvm.results.run_verdict import Conclusion, RunVerdict, conclude
from nested_kvm.util.text import plural

_UNEVALUATED = "not every target was evaluated"
_NOTHING_COLLECTED = 5
"""pytest's exit status where no test was selected."""


def verdict_line(run: Run) -> str:
    """Return the verdict in one line."""
    found = conclude(run)
    word = found.verdict.value
    if found.verdict is RunVerdict.COMPLIANT:
        return word + not_counted(found)
    if found.verdict is RunVerdict.NOT_COMPLIANT:
        return word + _cut(found)
    if found.verdict is RunVerdict.NOT_DECIDED:
        return f"{word}: {undecided(found)}{_cut(found)}"
    if found.verdict in {RunVerdict.INCOMPLETE, RunVerdict.PARTIAL}:
        return f"{word}: {found.shortfall.removeprefix(f'{word}: ')}"
    return f"{word}: {no_verdict(found)}"


def undecided(found: Conclusion) -> str:
    """Say how much could not be inspected or decided."""
    if not found.errors and not found.unknowns:
        return f"{plural(found.unreachable, 'target')} could not be inspected" if found.unreachable else _UNEVALUATED
    grave = f"; {found.grave} of them of severity high or critical" if found.grave else ""
    return f"{found.unknowns} unknown, {plural(found.errors, 'error')}{grave}"


def no_verdict(found: Conclusion) -> str:
    """Say why there is no verdict."""
    if found.exit_status == _NOTHING_COLLECTED:
        return "no control was selected for any target (-k, -m, or a path)"
    if found.exit_status == ExitStatus.USAGE:
        return "no control applies to any of the targets"
    return f"the run ended with exit status {found.exit_status}"


def not_counted(found: Conclusion) -> str:
    """Say which findings a compliant run has all the same; empty: none."""
    parts = ", ".join(_not_counted(found))
    if found.known:
        return f": no new findings ({parts} not counted)"
    if parts:
        return f" ({parts} not counted)"
    accepted = [plural(found.waived, "finding") + " waived"] * bool(found.waived)
    accepted += [plural(found.accepted, "unknown") + " accepted"] * bool(found.accepted)
    return f" ({', '.join(accepted)})" if accepted else ""


def _not_counted(found: Conclusion) -> Iterator[str]:
    if found.known:
        yield plural(found.known, "known finding") + " from the baseline"
    if found.other:
        yield plural(found.other, "finding") + " below --fail-on"


def _cut(found: Conclusion) -> str:
    return f"; {found.shortfall}" if found.shortfall else ""
