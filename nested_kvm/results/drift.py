"""Drift: what became of the findings of an earlier run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nested_kvm.model.control import Severity


class Drift(StrEnum):
    """A result against the baseline's, for the same target, subject and control."""

    NEW = "new"
    """A finding that did not count then: there was none, or a waiver covered it that no longer does."""
    FIXED = "fixed"
    PERSISTING = "persisting"
    GONE = "gone"
    """A finding then; now the control does not speak of it, or it is not there."""


@dataclass(frozen=True, slots=True)
class PastFinding:
    """A finding of the baseline."""

    control: str
    target: str
    subject: str
    severity: Severity
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """This run against the baseline."""

    baseline: str
    """The file that was compared with."""
    baseline_id: str
    baseline_started: datetime
    new: int = 0
    persisting: int = 0
    fixed: Sequence[PastFinding] = ()
    gone: Sequence[PastFinding] = ()
    unjudged: Sequence[PastFinding] = ()
    """Findings then that this run did not judge again: an error, unknown, or not asked."""
    vanished: Sequence[str] = ()
    """Targets of the baseline that the fleet no longer has."""
