"""Network, mount and process namespaces of the bench's own: whatever is started there ends with the command."""

import fcntl
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from bench.options import ROOT

WORK: Final = Path("/dev/shm")  # noqa: S108 - a private tmpfs in the bench's namespace
"""Where everything is written: it ends with the namespace."""

_SET_FLAGS: Final = 0x8914  # SIOCSIFFLAGS, linux/sockios.h
_UP_AND_RUNNING: Final = 0x1 | 0x40  # IFF_UP, IFF_RUNNING, linux/if.h
_SCRIPT: Final = f"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 none {WORK}
"$@" || exit $?
"""
"""The shell stays, as the first process of the namespace: it takes in whatever lost its parent."""


def run_within(command: Sequence[str]) -> int:
    """Run a command in its own namespaces, and return its exit status. A signal to end ends them first."""
    isolated = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    # A shell that is killed cannot end what it started: the kernel does.
    words = ["setpriv", "--pdeathsig", "KILL", *isolated, "sh", "-c", _SCRIPT, "sh", *command]
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    # A terminal's Ctrl-C reaches only us, so that no process inside has to handle it.
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        print("\nbench: interrupted: nothing is kept, and nothing is left running", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        process.kill()
        process.wait()


def _end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - as signal() calls it
    raise SystemExit(128 + number)


def bring_loopback_up() -> None:
    """Give a new network namespace its 127.0.0.0/8; there is nothing else in it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH22x", b"lo", _UP_AND_RUNNING))
