"""The outcome of a check: it returns when the requirement holds and raises a verdict otherwise."""

from dataclasses import dataclass
from enum import StrEnum

from nested_kvm.errors import NestedKvmError
from nested_kvm.model.cause import Cause
from nested_kvm.model.link import LinkName
from nested_kvm.model.severity import Severity


class Outcome(StrEnum):
    """The outcome of a control, in XCCDF's terms."""

    PASS = "pass"  # noqa: S105 - XCCDF's word, not a secret
    FAIL = "fail"
    ERROR = "error"
    UNKNOWN = "unknown"
    NOTAPPLICABLE = "notapplicable"
    NOTCHECKED = "notchecked"
    INFORMATIONAL = "informational"

    @property
    def is_undecided(self) -> bool:
        """Whether the target could not be inspected, or its evidence does not decide."""
        return self in {Outcome.ERROR, Outcome.UNKNOWN}

    @property
    def is_evaluated(self) -> bool:
        """Whether the control's question was answered: a pass, a fail, or that it does not apply."""
        return not self.is_undecided and self is not Outcome.NOTCHECKED

    @property
    def applies(self) -> bool:
        """Whether the control was asked of this subject at all, with whatever result."""
        return self not in {Outcome.NOTAPPLICABLE, Outcome.NOTCHECKED}


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quoted reading that a result is based on; `source` is where to find it (`/etc/modprobe.d/kvm.conf:3`)."""

    source: str
    text: str


class Verdict(NestedKvmError):
    """Any outcome but a plain pass: a message for people and the evidence for it."""

    outcome: Outcome

    def __init__(self, message: str, *evidence: Evidence) -> None:
        super().__init__(message)
        self.message = message
        self.evidence = evidence


class Finding(Verdict):
    """The requirement is violated; the cause has a code and a remediation."""

    outcome = Outcome.FAIL

    def __init__(
        self,
        cause: Cause,
        message: str,
        *evidence: Evidence,
        at: LinkName | None = None,
        severity: Severity | None = None,
    ) -> None:
        super().__init__(message, *evidence)
        self.cause = cause
        self.severity = severity
        """How serious it is here; None: as the control says."""
        self.at = at
        """The link of the chain to fix, where that is not the subject of the control itself."""


class Undecided(Verdict):
    """Inspected, but the evidence is inconclusive; the message names what is missing."""

    outcome = Outcome.UNKNOWN


class NotApplicable(Verdict):
    """The requirement does not apply to this subject."""

    outcome = Outcome.NOTAPPLICABLE


class NotChecked(Verdict):
    """Deliberately not inspected."""

    outcome = Outcome.NOTCHECKED


class Informed(Verdict):
    """Inspected; no policy applies, and the message reports the state."""

    outcome = Outcome.INFORMATIONAL


def require(holds: bool, cause: Cause, message: str, *evidence: Evidence) -> None:  # noqa: FBT001 - reads as `require(x, …)`
    """Raise a finding unless the requirement `holds`.

    Raises:
        Finding: it does not hold, because of `cause`.
    """
    if not holds:
        raise Finding(cause, message, *evidence)
