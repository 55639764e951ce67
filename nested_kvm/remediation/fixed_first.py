"""Nested stays off until a fixed kernel runs: what would open a published escape is shown, and not run."""

from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.remediation.escape import UPDATE_KERNEL, as_comments

_SWITCH_ON: Final = frozenset(
    {
        Cause.NESTED_OFF,
        Cause.PERSISTED_OFF,
        Cause.PERSISTED_VALUE_INVALID,
        Cause.CMDLINE_OVERRIDES,
        Cause.RELOAD_PENDING,
        Cause.NOT_EXPLICIT,
        Cause.VOLATILE_CONFIGURATION,
        Cause.ASSIST_OFF,
    }
)


def opened_by(subject: Subject, cause: Cause) -> tuple[str, ...]:
    """The advisories that the running kernel certainly lacks, and that guests reach only after the cause's remedy."""
    if cause not in _SWITCH_ON or not subject.policy.is_required:
        return ()
    try:
        exposure = subject.machine.exposure
    except ObservationError:
        return ()
    return tuple(
        each.advisory.id
        for each in exposure.open
        if Answer.NO in {exposure.reach_of(each.advisory).now, exposure.reach_of(each.advisory).later}
    )


def fix_first(ids: tuple[str, ...], commands: list[str]) -> list[str]:
    """The same commands as comments, after those that bring the fixed kernel."""
    return [
        f"# the running kernel lacks the fix of {', '.join(ids)}: with nested on, guests would reach it. First:",
        UPDATE_KERNEL,
        "# boot it once no guest runs, and diagnose again; only with a fixed kernel:",
        *as_comments(commands),
    ]
