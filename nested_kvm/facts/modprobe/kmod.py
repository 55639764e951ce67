"""How versions of kmod differ in reading modprobe.d."""

import re
from dataclasses import dataclass
from typing import Self

_VERSION = re.compile(r"kmod version (\d{1,4})", re.ASCII)
_NEWEST = 9999


@dataclass(frozen=True, slots=True)
class Kmod:
    """One version of kmod; `version` None (unknown) is treated as the newest.

    Sources: kmod's NEWS, and libkmod/libkmod.c, libkmod/libkmod-config.c and shared/util.c of each release.
    """

    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the output of `modprobe --version`; any text is accepted.

        >>> Kmod.parse("kmod version 30")
        Kmod(version=30)
        """
        found = _VERSION.search(text)
        return cls(int(found[1]) if found else None)

    @property
    def directories(self) -> tuple[str, ...]:
        """The directories that it searches for configuration, the one with the highest precedence first."""
        candidates = (
            ("/etc/modprobe.d", 0),
            ("/run/modprobe.d", 0),
            ("/usr/local/lib/modprobe.d", 29),
            ("/usr/lib/modprobe.d", 32),
            ("/lib/modprobe.d", 0),
        )
        return tuple(path for path, since in candidates if self._at_least(since))

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of the files that it reads: `.alias` was dropped in 33."""
        return (".conf",) if self._at_least(33) else (".conf", ".alias")

    @property
    def knows_weakdep(self) -> bool:
        """Whether `weakdep` is a directive (33)."""
        return self._at_least(33)

    @property
    def dangling_link_masks(self) -> bool:
        """Whether a link to nothing hides the same name in lower directories: not since 34, which ignores it."""
        return not self._at_least(34)

    @property
    def keeps_end_of_file(self) -> bool:
        r"""Whether a backslash as the very last byte of a file adds the byte 0xff to the line: not since 34."""
        return not self._at_least(34)

    def _at_least(self, version: int) -> bool:
        return (_NEWEST if self.version is None else self.version) >= version


ALL_DIRECTORIES = Kmod().directories
"""Every directory that some version searches, the one with the highest precedence first."""
