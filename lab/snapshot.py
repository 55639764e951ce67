"""Snapshots of the running host, with and without guests: restored in seconds where a start takes minutes."""

import hashlib
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from lab import qemu
from lab.config import LabConfig
from lab.emulator_package import EmulatorPackage
from lab.errors import HostLostError, LabError
from lab.guests import GUESTS
from lab.monitor import Monitor
from lab.progress import say

MEMORY = "memory"
SAVE_LIMIT = 180
BYTES_PER_SECOND = 10**11
"""QEMU limits the rate to one that suits a network unless another is set."""


@dataclass(frozen=True)
class Snapshot:
    """The snapshot of a host with certain guests running, whether it has been saved or not."""

    config: LabConfig
    guests: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Where it is kept, for all labs of a suite; `lab down` leaves it alone, as it does the image."""
        return self.config.directory / ("snapshot-guests" if self.guests else "snapshot-host")

    def is_usable(self) -> bool:
        """Whether it was made with this image, this emulator and these guests."""
        stamp = self.directory / "stamp"
        return stamp.exists() and stamp.read_text() == self._stamp()

    def save(self) -> None:
        """Save the running host; one that cannot be saved goes on without a snapshot."""
        begun = time.monotonic()
        work = self.directory.with_suffix(".tmp")
        for stale in (work, self.directory):
            shutil.rmtree(stale, ignore_errors=True)
        work.mkdir()
        try:
            with Monitor(self.config.run / qemu.MONITOR) as monitor:
                self._save(monitor, work)
        except (LabError, OSError) as error:
            shutil.rmtree(work, ignore_errors=True)
            say(f"  no snapshot was saved: {error}")
        else:
            (work / "stamp").write_text(self._stamp())
            work.rename(self.directory)
            say(f"  snapshot saved in {time.monotonic() - begun:.0f} s")

    def _save(self, monitor: Monitor, work: Path) -> None:
        monitor.execute("stop")
        try:
            monitor.execute("migrate-set-parameters", **{"max-bandwidth": BYTES_PER_SECOND})
            monitor.execute("migrate", uri=f"exec:cat >{shlex.quote(str(work / MEMORY))}")
            _await_migration(monitor)
            # The disk belongs to the memory only as long as the CPUs stand still.
            shutil.copy(self.config.run / qemu.DISK, work / qemu.DISK)
        finally:
            monitor.execute("cont")

    def put_disk(self) -> None:
        """Put the saved disk where a fresh one would be."""
        shutil.copy(self.directory / qemu.DISK, self.config.run / qemu.DISK)

    @property
    def arguments(self) -> list[str]:
        """What makes QEMU go on from the saved memory instead of booting."""
        return ["-incoming", f"exec:cat {shlex.quote(str(self.directory / MEMORY))}"]

    def forget(self) -> None:
        """Remove it: the next start boots."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _stamp(self) -> str:
        command = qemu.software(replace(self.config, number=1)).command
        version = subprocess.run(
            [*EmulatorPackage.of(self.config).program("qemu-system-x86_64"), "--version"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        parts = [(self.config.image / "stamp").read_text(), version, *command, *self.guests]
        parts += [guest.xml(self.config.suite) for guest in GUESTS]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _await_migration(monitor: Monitor) -> None:
    deadline = time.monotonic() + SAVE_LIMIT
    while (answer := monitor.execute("query-migrate")).get("status") != "completed":
        if answer.get("status") == "failed" or time.monotonic() > deadline:
            raise HostLostError(f"QEMU did not save the host: {answer.get('error-desc', answer.get('status'))}")
        time.sleep(0.2)
