"""How many targets are observed at once: a number that was given, or as many as turn out to be possible."""

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final, Self

from nested_kvm.util.text import plural

START: Final = 32
_USEFUL: Final = 256
"""Above this, one process's threads wait for each other instead of for targets."""
_FILES: Final = 6
"""Descriptors of a target: its connection, and the pipes and sockets of a ProxyCommand and of libvirt's tunnel."""
_SPARE_FILES: Final = 64
_MEMORY: Final = 8 * 1024
"""KiB of a target: as much as it may answer to both streams."""
_HALVED: Final = 2


@dataclass
class Pace:
    """The number of targets observed at once. Where it may grow, each success adds one, as in TCP's slow start.

    A connection that sshd closes before SSH's first message is what its MaxStartups does to one too many: then the
    number is halved, and grows no more.
    """

    limit: int
    most: int = 0
    """The limit that growth ends at; 0: it does not grow."""
    reason: str = ""
    """What sets that limit."""
    highest: int = 0
    """The largest number that was reached."""
    refusals: int = 0
    """Connections that were closed before SSH began."""
    _seen: int = 0
    _settling: int = 0
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def automatic(cls, targets: int) -> Self:
        """A number that grows from 32 within the limits of this machine."""
        limits = {
            "targets": targets,
            "open files (ulimit -n)": (_files_left() - _SPARE_FILES) // _FILES,
            "memory": _memory_left() // _HALVED // _MEMORY,
            "useful in one process": _USEFUL,
        }
        reason, most = min(limits.items(), key=lambda each: each[1])
        most = max(1, most)
        return cls(min(START, most), most, reason)

    @property
    def is_automatic(self) -> bool:
        """Whether the number is found, not given."""
        return self.most > 0

    def announcement(self) -> str:
        """Return what is known before."""
        return f"--forks=auto: from {self.limit} to {self.most} at once (limit: {self.reason})"

    def result(self) -> str:
        """Return what was found."""
        refused = f"; sshd closed {plural(self.refusals, 'connection')} early (MaxStartups?)" if self.refusals else ""
        return f"--forks=auto: at most {self.highest} at once{refused}"

    def refused(self) -> None:
        """Take note of a connection that was closed before SSH began."""
        with self._lock:
            self.refusals += 1

    def reached(self, workers: int) -> None:
        """Take note of how many are observed now."""
        with self._lock:
            self.highest = max(self.highest, workers)

    def after_one(self) -> None:
        """Adapt the number once a target is done."""
        if not self.is_automatic:
            return
        with self._lock:
            self._settling = max(0, self._settling - 1)
            if self.refusals > self._seen:
                self._seen = self.refusals
                if not self._settling:
                    self.limit = max(1, self.limit // _HALVED)
                    self._settling = self.limit
            elif not self.refusals and self.limit < self.most:
                self.limit += 1


def _files_left(limit: Callable[[int], tuple[int, int]] = resource.getrlimit) -> int:
    soft, _ = limit(resource.RLIMIT_NOFILE)
    return (
        _USEFUL * _FILES * _HALVED if soft == resource.RLIM_INFINITY else soft - len([*Path("/proc/self/fd").iterdir()])
    )


def _memory_left(meminfo: Path = Path("/proc/meminfo")) -> int:
    """KiB, by the kernel's estimate."""
    found = meminfo.read_text(encoding="ascii").partition("MemAvailable:")[2].split()
    return int(found[0]) if found else _USEFUL * _MEMORY * _HALVED
