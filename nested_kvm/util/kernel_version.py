"""Versions of upstream kernels, and the numbers of a distribution's release."""

import re
from dataclasses import dataclass
from typing import Final, Self

_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,5}))?", re.ASCII)
_NUMBERS: Final = re.compile(r"(\d{1,9}(?:[.-]\d{1,9}){1,9})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class KernelVersion:
    """An upstream release: `6.1.177`, or `7.2`, which is `7.2.0`."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a version; None: the text is not one.

        >>> KernelVersion.parse("6.1.177")
        KernelVersion(major=6, minor=1, patch=177)
        """
        found = _VERSION.fullmatch(text)
        return None if found is None else cls(int(found[1]), int(found[2]), int(found[3] or 0))

    @property
    def series(self) -> tuple[int, int]:
        """The stable series."""
        return self.major, self.minor

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}" if self.patch else f"{self.major}.{self.minor}"


def release_numbers(release: str) -> tuple[int, ...]:
    """The numbers at the beginning of a release, which order the releases of one stream; empty: there are none.

    >>> release_numbers("5.14.0-687.24.1.el9_8.x86_64")
    (5, 14, 0, 687, 24, 1)
    """
    found = _NUMBERS.match(release)
    return () if found is None else tuple(int(each) for each in re.split("[.-]", found[1]))
