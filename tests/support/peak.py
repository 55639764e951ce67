"""How much memory a program takes at most.

Linux charges a program with what its parent had when it was started, so a large parent must not start it itself.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

_LAUNCHER = """\
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(used.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measured(command: Sequence[str], peak: Path) -> list[str]:
    """Return the command that runs this one, and leaves its peak in a file."""
    return [sys.executable, "-S", "-c", _LAUNCHER, str(peak), *command]


def bytes_in(peak: Path) -> int:
    """Return the peak that was left, in bytes."""
    return int(peak.read_text())
