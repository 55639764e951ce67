"""What a check says: it returns when the requirement holds, and raises a verdict when it does not."""

from dataclasses import dataclass
from enum import StrEnum

from nested_kvm.errors import NestedKvmError
from nested_kvm.model.cause import Cause
from nested_kvm.model.link import LinkName


class Outcome(StrEnum):
    """How a result ended, in XCCDF's words."""

    PASS = "pass"  # noqa: S105 - XCCDF's word, not a secret
    FAIL = "fail"
    ERROR = "error"
    UNKNOWN = "unknown"
    NOTAPPLICABLE = "notapplicable"
    NOTCHECKED = "notchecked"
    INFORMATIONAL = "informational"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a result rests on: `source` as a person would look it up (`/etc/modprobe.d/kvm.conf:3`)."""

    source: str
    text: str


class Verdict(NestedKvmError):
    """Anything but "the requirement holds": a message for people, and the evidence for it."""

    outcome: Outcome

    def __init__(self, message: str, *evidence: Evidence) -> None:
        super().__init__(message)
        self.message = message
        self.evidence = evidence


class Finding(Verdict):
    """The requirement is violated, for a reason that has a name and a remedy."""

    outcome = Outcome.FAIL

    def __init__(self, cause: Cause, message: str, *evidence: Evidence, at: LinkName | None = None) -> None:
        super().__init__(message, *evidence)
        self.cause = cause
        self.at = at
        """The link of the chain to fix, where that is not the subject of the control itself."""


class Undecided(Verdict):
    """Looked, and the evidence does not decide; the message names what is missing."""

    outcome = Outcome.UNKNOWN


class NotApplicable(Verdict):
    """The requirement does not speak of this subject."""

    outcome = Outcome.NOTAPPLICABLE


class NotChecked(Verdict):
    """Deliberately not looked at."""

    outcome = Outcome.NOTCHECKED


class Informed(Verdict):
    """Looked; nothing is required here, and the message says what was seen."""

    outcome = Outcome.INFORMATIONAL


def require(holds: bool, cause: Cause, message: str, *evidence: Evidence) -> None:  # noqa: FBT001 - reads as `require(x, …)`
    """Go on when the requirement `holds`.

    Raises:
        Finding: it does not, because of `cause`.
    """
    if not holds:
        raise Finding(cause, message, *evidence)
