"""A reading: one file or one command of a target, exactly as it answered."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from nested_kvm.errors import NotObserved
from nested_kvm.model.verdict import Evidence

__all__ = ["Evidence", "Reading", "Status"]


class Status(StrEnum):
    """How a reading ended. Only `OK` vouches for its text."""

    OK = "ok"
    """The file was read to its end; the command exited with 0."""
    FAILED = "failed"
    """The command exited with another status; its text may hold the reason."""
    TIMED_OUT = "timed-out"
    """The command did not end in time and was killed."""
    MISSING = "missing"
    """There is no such command on the target."""
    ABSENT = "absent"
    """There is no such file, and the target was allowed to look."""
    UNREADABLE = "unreadable"
    """The file is there, or may be, and could not be read."""
    DIRECTORY = "directory"
    """A directory stands where a file was expected."""
    DEVICE = "device"
    """A device stands there, or a link to one: `/dev/null` masks a configuration file."""
    DANGLING = "dangling"
    """A symbolic link to nothing."""
    SPECIAL = "special"
    """A FIFO or a socket: it was not opened."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One source of a target and what it answered.

    `source` is an absolute path or a command line. `text` was decoded as UTF-8, undecodable bytes replaced.
    """

    source: str
    status: Status
    text: str = ""
    exit_status: int | None = None
    link: str | None = None
    """Where a symbolic link points, as it is written."""

    @property
    def is_ok(self) -> bool:
        """Whether the text is the whole of what the source holds."""
        return self.status is Status.OK

    def require(self) -> Self:
        """Return itself when it is `OK`.

        Raises:
            NotObserved: it is not, and says why.
        """
        if self.is_ok:
            return self
        reason = self.status.value if self.exit_status is None else f"{self.status.value}, exit {self.exit_status}"
        detail = f": {self.text.strip().splitlines()[0][:200]}" if self.text.strip() else ""
        raise NotObserved(f"{self.source} could not be read ({reason}){detail}")

    def as_evidence(self, text: str | None = None) -> Evidence:
        """Quote the reading, or just `text` of it."""
        return Evidence(self.source, self.text.strip() if text is None else text)
