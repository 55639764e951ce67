"""The emulator's process, in which the host runs: found by its pid file, started and ended as a whole."""

import os
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab import bochs, qemu
from lab.config import LabConfig
from lab.errors import HostLostError
from lab.monitor import Monitor
from lab.snapshot import Snapshot
from lab.software import Software

BOOT_LIMIT = 240
RESTORE_LIMIT = 120
START_LIMIT = 10
END_LIMIT = 30
LOG = "emulator.log"
PID_FILE = "emulator.pid"
SOFTWARE = {"amd": qemu.software, "intel": bochs.software}


@dataclass(frozen=True)
class Emulator:
    """The emulator of one lab, running or not."""

    config: LabConfig

    def pid(self) -> int | None:
        """Return the process id if the emulator runs: a recorded pid may belong to another program by now."""
        try:
            pid = int((self.config.run / PID_FILE).read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if self._software().mark.encode() in words and not _is_over(pid) else None

    def start(self, snapshot: Snapshot | None = None) -> None:
        """Start from a snapshot, or boot from a fresh disk over the read-only image.

        The process has its own session, which Ctrl-C does not reach.
        """
        shutil.rmtree(self.config.run, ignore_errors=True)
        self.config.run.mkdir(parents=True)
        software = self._software()
        software.prepare(self.config)
        command = list(software.command)
        if snapshot is not None:
            snapshot.put_disk()
            command += snapshot.arguments
        # Orphaned on purpose: it outlives this process, and init reaps it.
        subprocess.run(
            ["sh", "-c", f'setsid "$@" </dev/null >{LOG} 2>&1 & echo $! >{PID_FILE}', "sh", *command],
            cwd=self.config.run,
            env={**os.environ, **software.environment},
            check=True,
        )
        self._await_command_line()

    def stop(self) -> None:
        """End the process, by force if it does not heed a request, and remove the run directory.

        A process that is ending is not recognized any more, and may take a while to give its memory back.
        """
        pid = self.pid()
        if pid is not None:
            self._end(pid)
        shutil.rmtree(self.config.run, ignore_errors=True)

    def _end(self, pid: int) -> None:
        for number in self._software().end_signals:
            if self.pid() == pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            self._await_end(pid)

    def require_alive(self) -> int:
        """Return the process id.

        Raises:
            HostLostError: the emulator has ended.
        """
        pid = self.pid()
        if pid is None:
            raise HostLostError(f"the emulated host has ended: {self._last_words()}")
        return pid

    def status(self) -> str:
        """Return QEMU's run state, such as running, paused or internal-error; Bochs reports none."""
        if self.config.suite.vendor != "amd":
            return "running"
        with Monitor(self.config.run / qemu.MONITOR) as monitor:
            return str(monitor.execute("query-status")["status"])

    def resume(self) -> None:
        """Wait until the memory of a snapshot is loaded, and let the CPUs run.

        Raises:
            HostLostError: the emulator ended, or was not done in time.
        """
        deadline = time.monotonic() + RESTORE_LIMIT
        while not self._is_loaded():
            self.require_alive()
            if time.monotonic() > deadline:
                raise HostLostError(f"the snapshot was not restored within {RESTORE_LIMIT} s")
            time.sleep(0.2)
        with Monitor(self.config.run / qemu.MONITOR) as monitor:
            monitor.execute("cont")

    def _is_loaded(self) -> bool:
        """Whether the machine is paused, as it was saved."""
        try:
            return self.status() == "paused"
        except (OSError, HostLostError):
            # The monitor does not listen yet, or does not answer while memory is loaded.
            return False

    def _software(self) -> Software:
        return SOFTWARE[self.config.suite.vendor](self.config)

    def _await_command_line(self) -> None:
        """Wait until the process runs the emulator: `pid` does not recognize it earlier."""
        deadline = time.monotonic() + START_LIMIT
        pid = int((self.config.run / PID_FILE).read_text())
        while self.pid() is None and not _is_over(pid) and time.monotonic() < deadline:
            time.sleep(0.05)

    @staticmethod
    def _await_end(pid: int) -> None:
        """Wait until the memory is freed: `pid` stops recognizing the process before that."""
        deadline = time.monotonic() + END_LIMIT
        while not _is_over(pid) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _last_words(self) -> str:
        for name in ("console.log", LOG):
            path = self.config.run / name
            text = path.read_text(errors="replace") if path.exists() else ""
            panics = [line for line in text.splitlines() if "panic" in line or "qemu-system" in line]
            if panics:
                return panics[-1].strip()
        return "it left no message"


def _is_over(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True
