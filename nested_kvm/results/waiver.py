"""Waivers: accepted findings and unknowns, until a day or permanently."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Outcome

SOON: Final = timedelta(days=14)
"""Before its last day, a waiver is in every report's warnings for so long."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """One entry of the waiver file. `control`, `target` and `subject` are glob patterns."""

    control: str
    target: str
    subject: str | None
    """None: every subject of the target."""
    reason: str
    approver: str
    expires: date | None
    """The waiver's last day, UTC; None: permanent, or until it is fixed."""
    source: str
    """Where it is defined: file and line."""
    cause: str | None = None
    """The code of the only cause that it accepts; None: any."""
    accepts_unknown: bool = False
    """Whether it accepts unknown results, and only these."""
    until_fixed: bool = False
    """Whether it ends when what it covers passes."""
    advisories: tuple[str, ...] | None = None
    """The only advisories whose missing fixes it accepts; None: any."""

    def covers(self, control: str, target: str, subject: str) -> bool:
        """Whether the waiver covers that control for that target and subject."""
        return (
            fnmatchcase(control, self.control)
            and fnmatchcase(target, self.target)
            and (self.subject is None or fnmatchcase(subject, self.subject))
        )

    def accepts(self, outcome: Outcome, cause: Cause | None, lacking: frozenset[str] = frozenset()) -> bool:
        """Whether the waiver accepts such a result: a finding with its cause, or an unknown.

        Args:
            outcome: the result's.
            cause: the result's.
            lacking: the advisories whose fix the result shows to be missing.
        """
        if self.accepts_unknown:
            return outcome is Outcome.UNKNOWN
        if self.advisories is not None and not (lacking and lacking <= set(self.advisories)):
            return False
        return outcome is Outcome.FAIL and (self.cause is None or (cause is not None and cause.code == self.cause))

    def holds_on(self, day: date) -> bool:
        """Whether the waiver is in force on that day, UTC."""
        return self.expires is None or day <= self.expires

    def ends_soon(self, day: date) -> bool:
        """Whether the waiver is in force on that day, UTC, and ends within the days that a report warns of."""
        return self.expires is not None and timedelta(0) <= self.expires - day <= SOON

    @property
    def end_timestamp(self) -> float:
        """The first second after it expires; infinity where it is permanent."""
        if self.expires is None:
            return float("inf")
        return datetime.combine(self.expires, time(), UTC).timestamp() + timedelta(days=1).total_seconds()


class WaiverState(StrEnum):
    """The status of a waiver in a run."""

    USED = "used"
    EXPIRED = "expired"
    """The waiver has expired, and the finding that it matches counts."""
    OTHER_CAUSE = "other-cause"
    """The findings that it matches count: they have another cause, or another advisory, than the waiver names."""
    MATCHES_NOTHING = "stale-matches-nothing"
    CONTROL_PASSES = "stale-control-passes"
    UNJUDGED = "unjudged"
    """What it covers was not evaluated in this run: an error, unknown, or not asked."""


@dataclass(frozen=True, slots=True)
class WaiverUse:
    """A waiver and its status."""

    waiver: Waiver
    state: WaiverState
    findings: int = 0
    """The number of results that it accepts, or would if it had not expired."""
