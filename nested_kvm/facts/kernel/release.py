"""The release of a kernel, as `uname -r` prints it."""

import re
from dataclasses import dataclass
from typing import Self

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})", re.ASCII)
_UPSTREAM = re.compile(
    r"\d+\.\d+(?:\.\d+)?(?:-rc\d+)?\+?"
    r"|\d[\w.+~-]*-(?:amd64|686|686-pae|arm64|armmp|armmp-lpae|s390x|powerpc64le)(?:-unsigned)?"
    r"|\d[\w.-]*-(?:generic|lowlatency|virtual|kvm|aws|azure|gcp|gke|ibm|oracle|oem|raspi)"
    r"|\d[\w.-]*-(?:arch\d[\w.-]*|lts|zen\d[\w.-]*|hardened\d?|gentoo[\w.-]*)",
    re.ASCII,
)
"""Releases of kernel.org, Debian, Ubuntu, Arch and Gentoo, whose default configuration of KVM is upstream's."""


@dataclass(frozen=True, slots=True)
class KernelRelease:
    """The version of a kernel by its release; None where it cannot be read from it.

    `is_vendor`: possibly built by a vendor who backports features for a decade, or changes defaults, so that an old
    version does not prove a feature absent. That is any release which is not known to follow upstream.
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
        return cls(release, version, _UPSTREAM.fullmatch(release) is None)

    def has(self, since: tuple[int, int]) -> bool | None:
        """Whether the kernel has what upstream has since that version; None: unknown."""
        if self.version is None:
            return None
        if self.version >= since:
            return True
        return None if self.is_vendor else False
