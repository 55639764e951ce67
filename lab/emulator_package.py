"""The QEMU that emulates an AMD host: Debian 13's, unpacked under .lab beside whatever this machine has installed.

With Debian 12's own, 7.2, the newest kernels panic as soon as a guest starts, and each host takes longer to boot.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from lab import mirrors
from lab.config import LabConfig
from lab.locks import locked
from lab.progress import say
from lab.unpacked import unpack

RELEASE = "trixie"
PACKAGES = ("qemu-system-x86", "qemu-utils")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class EmulatorPackage:
    """The unpacked packages, or where they are going to be."""

    directory: Path

    @classmethod
    def of(cls, config: LabConfig) -> "EmulatorPackage":
        """Return the one that every AMD lab shares."""
        return cls(config.directory.parent / "qemu")

    def ready(self) -> bool:
        """Whether they are there as a whole."""
        return self.directory.exists()

    def provide(self) -> None:
        """Unpack them and what they need, unless they are there, or another lab is doing that.

        Raises:
            BuildError: they cannot be had.
        """
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.directory.with_suffix(".lock")):
            if not self.ready():
                self._unpack()

    def _unpack(self) -> None:
        say(f"unpacking the emulator, QEMU of Debian {RELEASE}: usually 5 to 30 s, depending on the mirror")
        begun = time.monotonic()
        unpack(RELEASE, PACKAGES, self.directory, sources=mirrors.sources(RELEASE))
        say(f"  unpacked in {time.monotonic() - begun:.0f} s")

    def program(self, name: str) -> list[str]:
        """Return the command of one of its programs, which its own dynamic linker starts with its own libraries."""
        libraries = self.directory / LIBRARIES
        linker = libraries / "ld-linux-x86-64.so.2"
        return [str(linker), "--library-path", str(libraries), str(self.directory / "usr/bin" / name)]

    @property
    def firmware(self) -> list[str]:
        """The arguments that name its firmware."""
        share = self.directory / "usr/share"
        return ["-L", str(share / "qemu"), "-L", str(share / "seabios")]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that keep it from this machine's modules."""
        return {"QEMU_MODULE_DIR": str(self.directory / LIBRARIES / "qemu")}
