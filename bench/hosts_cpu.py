"""The CPU time that the hosts use: they share this machine with what measures them."""

import os
import time
from pathlib import Path
from typing import Final

HOSTS_PIDS: Final = "hosts.pid"
PROXY_PIDS: Final = "proxy.pid"
"""Files that hold the processes' ids."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CPU_FIELDS: Final = slice(11, 15)  # utime, stime, cutime, cstime behind the name: proc(5)
_SECONDS_TO_SETTLE: Final = 1.0


def cpu_seconds(file: Path) -> float:
    """Return what the processes of a file have taken, with all that they started, whether it lives or has ended."""
    return sum(_of(pid) for pid in file.read_text().split())


def settle(file: Path) -> None:
    """Wait until sshd has seen the end of its last visitors; daemons that Ansible leaves stay longer than we wait."""
    end = time.monotonic() + _SECONDS_TO_SETTLE
    while any(_children(pid) for pid in file.read_text().split()):
        if time.monotonic() > end:
            return
        time.sleep(0.02)


def _of(pid: str) -> float:
    try:
        behind_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, behind_name[_CPU_FIELDS])) / _TICKS + sum(map(_of, _children(pid)))
    except (FileNotFoundError, ProcessLookupError):  # it has ended: its parent has its share
        return 0.0


def _children(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
