"""A reading: the content of one file, or the output of one command, of a target."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, Self

from nested_kvm.errors import NotCollected, NotObserved
from nested_kvm.model.verdict import Evidence

__all__ = ["Evidence", "Reading", "Status", "shared"]
_SHARED: Final = 64 * 1024
"""Characters: about the cpuinfo of a hundred CPUs."""


class Status(StrEnum):
    """How a reading ended. The text is complete only with `OK`."""

    OK = "ok"
    """The file was read to its end; the command exited with 0."""
    FAILED = "failed"
    """The command exited with another status; its text may hold the reason."""
    TIMED_OUT = "timed-out"
    """The command did not end in time and was killed."""
    MISSING = "missing"
    """The command does not exist on the target."""
    ABSENT = "absent"
    """The file does not exist, and the directory could be searched."""
    UNREADABLE = "unreadable"
    """The file exists, or may exist, and could not be read."""
    DIRECTORY = "directory"
    """A directory is in place of the file."""
    DEVICE = "device"
    """A device, or a link to one, is in place of the file: `/dev/null` masks a configuration file."""
    DANGLING = "dangling"
    """A symbolic link to nothing."""
    SPECIAL = "special"
    """A FIFO or a socket is in place of the file, and was not opened."""
    NOT_COLLECTED = "not-collected"
    """The support archive does not hold it, or the host was not asked; the text is why."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One source of a target, and its content or output.

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
        """Whether the text is all that the source holds."""
        return self.status is Status.OK

    def require(self) -> Self:
        """Return the reading if it is `OK`.

        Raises:
            NotCollected: the support archive does not hold it; the message says why.
            NotObserved: it is not; the message says why.
        """
        if self.is_ok:
            return self
        if self.status is Status.NOT_COLLECTED:
            raise NotCollected(self.text or f"{self.source} is not in the archive")
        reason = self.status.value if self.exit_status is None else f"{self.status.value}, exit {self.exit_status}"
        detail = f": {self.text.strip().splitlines()[0][:200]}" if self.text.strip() else ""
        raise NotObserved(f"{self.source} could not be read ({reason}){detail}")

    def as_evidence(self, text: str | None = None) -> Evidence:
        """Quote the reading, or only `text` from it."""
        return Evidence(self.source, self.text.strip() if text is None else text)


def shared(reading: Reading) -> Reading:
    """The same reading, stored once for all machines that have it: most are the same across a fleet."""
    return _first(reading) if len(reading.text) <= _SHARED else reading


@lru_cache(maxsize=2048)
def _first(reading: Reading) -> Reading:
    return reading
