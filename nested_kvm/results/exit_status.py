"""The exit status of a run."""

from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.run import ExitStatus, Run, Threshold
from nested_kvm.results.target_verdict import target_statuses

INTERRUPTED: Final = 2
"""pytest's exit status of a run that was interrupted."""


def exit_status(run: Run, pytest_status: int, threshold: Threshold) -> int:
    """Return the exit status of a run with known results and targets, whose pytest ended with `pytest_status`.

    pytest's own status is kept where it could not evaluate: interrupted, broken, misused, or nothing collected. With
    `gate`, errors and unknowns block as findings do, and so does a target that does not pass: a narrowed run never
    ends with 0. A run in which no control applied to anything has audited nothing, and is not compliant; nor is one
    with a target that could not be observed, even where nothing was asked of it; nor one that ended early.
    """
    if pytest_status not in {0, 1}:
        return pytest_status
    all_observed = all(target.error is None for target in run.targets)
    audited_nothing = len(run.results) == sum(run.count(outcome) for outcome in Outcome if not outcome.applies)
    if any(run.blocking(threshold)) or (threshold.gate and not all_observed):
        return ExitStatus.FINDING
    if not all_observed or run.count(Outcome.ERROR):
        return ExitStatus.NOT_OBSERVED
    if audited_nothing or not run.complete:
        return ExitStatus.USAGE if audited_nothing else INTERRUPTED
    passes = not threshold.gate or all(each.passes for each in target_statuses(run, threshold))
    return ExitStatus.COMPLIANT if passes else ExitStatus.FINDING
