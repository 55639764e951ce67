"""The release of a kernel, as `uname -r` prints it."""

import re
from dataclasses import dataclass
from typing import Self

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})", re.ASCII)
# Kernels whose version says little about their features, which are backported for a decade.
_VENDOR = re.compile(r"\.el\d|\.fc\d|\.amzn|\.uek|\.hce|\.oe\d|\.an\d|\.tl\d|-default\b|-pve\b", re.ASCII)


@dataclass(frozen=True, slots=True)
class KernelRelease:
    """The version of a kernel by its release; None where it cannot be read from it.

    `is_vendor`: built by a vendor who backports features, so that an old version does not prove a feature absent.
    """

    text: str
    version: tuple[int, int] | None
    is_vendor: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a release, any text is accepted.

        >>> KernelRelease.parse("6.1.0-56-cloud-amd64").version
        (6, 1)
        """
        release = text.strip()[:256]
        found = _VERSION.match(release)
        version = (int(found[1]), int(found[2])) if found else None
        return cls(release, version, _VENDOR.search(release) is not None)

    def has(self, since: tuple[int, int]) -> bool | None:
        """Whether the kernel has what upstream has since that version; None: unknown."""
        if self.version is None:
            return None
        if self.version >= since:
            return True
        return None if self.is_vendor else False
