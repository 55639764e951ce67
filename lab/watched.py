"""Run a program that waits for the lab, and stop waiting as soon as the lab's host is dead or hangs."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import heartbeat
from lab.config import LabConfig
from lab.emulator import Emulator
from lab.errors import HostLostError

INTERVAL = 1.0


@dataclass
class HostWatch:
    """The host's process and heartbeat, checked now and then while something else is waited for."""

    config: LabConfig
    _beats: heartbeat.Watch = field(default_factory=heartbeat.Watch)

    def check(self) -> None:
        """Check once.

        Raises:
            HostLostError: the host's process has ended, or one of its CPUs hangs.
        """
        emulator = Emulator(self.config)
        pid = emulator.require_alive()
        hung = self._beats.hung_cpus(heartbeat.observe(self.config.run, pid))
        if hung:
            raise HostLostError(f"the emulated host hangs: no heartbeat from CPU {', '.join(map(str, hung))}")


def run(
    config: LabConfig,
    command: Sequence[str],
    *,
    limit: float,
    stdin: bytes = b"",
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command as `subprocess.run` does, with its output captured.

    Raises:
        HostLostError: the host died or hung before the command ended.
        TimeoutExpired: the command did not end within `limit` seconds.
    """
    watch = HostWatch(config)
    deadline = time.monotonic() + limit
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=cwd, env=environment) as process:
        try:
            while True:
                try:
                    out, err = process.communicate(stdin, timeout=min(INTERVAL, max(0.0, deadline - time.monotonic())))
                except subprocess.TimeoutExpired:
                    watch.check()
                    if time.monotonic() >= deadline:
                        raise subprocess.TimeoutExpired(list(command), limit) from None
                else:
                    return subprocess.CompletedProcess(list(command), process.returncode, out, err)
        finally:
            # Ctrl-C and a lost host included; one that has ended is left alone.
            process.kill()
