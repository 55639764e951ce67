"""One program, from its start to its end: seconds, CPU, memory."""

import os
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.errors import BenchError

_LAST_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run of a program took."""

    seconds: float
    cpu_seconds: float
    """User and system, of it and of all that it waited for; not of daemons that it left."""
    peak_mb: float
    """Megabytes of the largest of these processes."""
    started: float
    """By `time.monotonic`, which all processes of a machine share."""
    status: int


def timed(
    command: Sequence[str],
    output: Path,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    expected: Collection[int] = (0,),
) -> Usage:
    """Run a program and wait for its end.

    Raises:
        BenchError: it ended otherwise than `expected`: its figures would be of something else.
    """
    with output.open("wb") as told:
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in expected:
        raise BenchError(_told(command, process.returncode, output))
    peak_mb = usage.ru_maxrss * 1024 / 1e6
    return Usage(seconds, usage.ru_utime + usage.ru_stime, peak_mb, started, process.returncode)


def _told(command: Sequence[str], status: int, output: Path) -> str:
    lines = output.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    said = "\n  ".join(lines)
    return f"{' '.join(command[:6])} … ended with {status}, so it measures nothing; its last words:\n  {said}"
