"""The exceptions that nested-kvm-compliance raises on purpose.

::

    NestedKvmError
    ├── UsageError               the run cannot begin: exit status 4
    │   └── InventoryError       … because of the inventory: file, line and key
    ├── FileUnusable             a file cannot be read within its bounds; each caller handles it
    │   └── FileMissing          … because it does not exist
    ├── SignatureRefused         a signature is not one of an allowed signer; each caller handles it
    ├── ObservationError         something could not be inspected: outcome `error`
    │   ├── ConnectionFailed     the target is unreachable
    │   │   ├── HostKeyRejected  … because it is not known to be the machine it claims to be
    │   │   └── LoginRejected    … because it accepts none of our credentials
    │   ├── NotAllowed           the target's own configuration forbids inspection: outcome `unknown`
    │   ├── LimitExceeded        it took too long or wrote too much, and was closed
    │   ├── AnswerUnusable       the probe's answer is cut, empty or not the probe's
    │   ├── EvidenceUnusable     an evidence file is not one, or of a newer schema
    │   │   └── ArchiveUnusable  … or a support archive that is broken, hostile or of an unknown kind
    │   └── NotObserved          the evidence lacks one reading: missing, denied, timed out
    │       └── NotCollected     … because the tool that made the archive does not collect it: outcome `unknown`
    └── Verdict                  any result of a check but "it holds"; defined in `model/verdict.py`
        ├── Finding              the requirement is violated: outcome `fail`
        ├── Undecided            inspected, but the evidence is inconclusive: `unknown`
        ├── NotApplicable        the requirement does not apply to this subject: `notapplicable`
        ├── NotChecked           deliberately not inspected: `notchecked`
        └── Informed             inspected, nothing is required here: `informational`
"""


class NestedKvmError(Exception):
    """The root of all exceptions raised on purpose: any other exception is a defect of nested-kvm-compliance."""


class UsageError(NestedKvmError):
    """The run cannot begin as it was asked for."""


class InventoryError(UsageError):
    """The inventory cannot be used; the message names file, line and key."""


class FileUnusable(NestedKvmError):
    """A file cannot be read within its bounds; the message says why, and the caller names the file."""


class FileMissing(FileUnusable):
    """A file does not exist."""


class SignatureRefused(NestedKvmError):
    """A signature is missing, is of other data, or of no allowed signer; the message says which."""


class ObservationError(NestedKvmError):
    """Something could not be inspected: never a finding, never a pass.

    `partial` is what the target had written to its standard output until then.
    """

    def __init__(self, message: str, *, partial: bytes = b"") -> None:
        super().__init__(message)
        self.partial = partial


class ConnectionFailed(ObservationError):
    """The target could not be reached."""


class HostKeyRejected(ConnectionFailed):
    """The target's host key is unknown, or contradicts known_hosts."""


class LoginRejected(ConnectionFailed):
    """The target refused every credential that was offered."""


class NotAllowed(ObservationError):
    """The target answers, and its own configuration forbids inspecting it: outcome `unknown`."""


class LimitExceeded(ObservationError):
    """A time or size limit was broken, and the target was closed at once."""


class AnswerUnusable(ObservationError):
    """The probe's answer is cut, empty, or not the probe's."""


class EvidenceUnusable(ObservationError):
    """An evidence file is not one, is broken, or comes from a newer schema."""


class ArchiveUnusable(EvidenceUnusable):
    """A support archive is broken, hostile or of an unknown kind; the message says what, where and what to do."""


class NotObserved(ObservationError):
    """One reading is not in the evidence; the message says which, and why."""


class NotCollected(NotObserved):
    """The tool that made the archive does not collect this reading: outcome `unknown`."""
