"""The release of a kernel, as `uname -r` prints it."""

import re
from dataclasses import dataclass
from typing import Self

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})", re.ASCII)
# Kernels whose version says little about what they hold: features are carried back for a decade.
_VENDOR = re.compile(r"\.el\d|\.fc\d|\.amzn|\.uek|\.hce|\.oe\d|\.an\d|\.tl\d|-default\b|-pve\b", re.ASCII)


@dataclass(frozen=True, slots=True)
class KernelRelease:
    """What a release says of a kernel: `version` is None where it says nothing.

    `is_vendor`: built by a vendor who carries features back, so that an old version does not prove a feature absent.
    """

    text: str
    version: tuple[int, int] | None
    is_vendor: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `6.1.0-56-cloud-amd64`; any text is accepted."""
        release = text.strip()[:256]
        found = _VERSION.match(release)
        version = (int(found[1]), int(found[2])) if found else None
        return cls(release, version, _VENDOR.search(release) is not None)

    def has(self, since: tuple[int, int]) -> bool | None:
        """Whether the kernel holds what upstream holds since that version; None: it cannot be told."""
        if self.version is None:
            return None
        if self.version >= since:
            return True
        return None if self.is_vendor else False
