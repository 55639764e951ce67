"""Run a program that waits for the lab, and stop waiting as soon as the lab's host is dead or hangs."""

import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from lab import heartbeat
from lab.config import LabConfig
from lab.emulator import Emulator
from lab.errors import HostLostError

INTERVAL = 1.0


WATCHES: defaultdict[int, heartbeat.Watch] = defaultdict(heartbeat.Watch)
"""By the emulator's process id: a silence goes on from one command to the next."""


def check_host(config: LabConfig) -> None:
    """Check the host's process and heartbeat.

    Raises:
        HostLostError: the process has ended, or a CPU of the host hangs.
    """
    pid = Emulator(config).require_alive()
    hung = WATCHES[pid].hung_cpus(heartbeat.observe(config.run, pid))
    if hung:
        raise HostLostError(f"the emulated host hangs: no heartbeat from CPU {', '.join(map(str, hung))}")


def slowdown(config: LabConfig) -> float:
    """Return the factor by which other work on this machine slows the emulator down."""
    pid = Emulator(config).pid()
    return 1.0 if pid is None else heartbeat.slowdown(heartbeat.observe(config.run, pid))


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
    # Input from a file, since after a time limit Popen.communicate() sends no more of what did not fit into a pipe.
    with tempfile.TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=file, stdout=pipe, stderr=pipe, cwd=cwd, env=environment) as process:
            try:
                out, err = _output(config, process, time.monotonic() + limit)
            except subprocess.TimeoutExpired:
                raise subprocess.TimeoutExpired(list(command), limit) from None
            finally:
                # Ctrl-C and a lost host included; one that has ended is left alone.
                process.kill()
    return subprocess.CompletedProcess(list(command), process.returncode, out, err)


def _output(config: LabConfig, process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    while True:
        try:
            return process.communicate(timeout=min(INTERVAL, max(0.0, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            check_host(config)
            if time.monotonic() >= deadline:
                raise
