"""Drift: the findings of a run compared with those of an earlier one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nested_kvm.model.control import Severity


class Drift(StrEnum):
    """A result compared with the baseline's for the same target, subject, control, cause and site check."""

    NEW = "new"
    """A finding that was not open then: there was none, or it was waived and no longer is."""
    FIXED = "fixed"
    PERSISTING = "persisting"
    GONE = "gone"
    """A finding then; now the control does not apply, or the subject is gone."""


@dataclass(frozen=True, slots=True)
class PastFinding:
    """A finding of the baseline."""

    control: str
    target: str
    subject: str
    severity: Severity
    title: str
    message: str
    cause: str | None = None
    """The code of its cause; None: a failed assertion of a site's own check."""
    check: str | None = None
    """The node id of a site's own check; None: a control of ours, or a run of an older version did not record it."""


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """This run compared with the baseline."""

    baseline: str
    """The file of the earlier run."""
    baseline_id: str
    baseline_started: datetime
    new: int = 0
    persisting: int = 0
    fixed: Sequence[PastFinding] = ()
    gone: Sequence[PastFinding] = ()
    unjudged: Sequence[PastFinding] = ()
    """Findings then that this run did not evaluate: an error, unknown, or not asked."""
    vanished: Sequence[str] = ()
    """Targets of the baseline that are no longer in the inventory."""
