"""What a bench needs from the machine that it runs on."""

import os
import sys

from bench.errors import BenchError
from tests.support.needs import missing

PARTS = ("sshd", "ssh", "kmod", "accounts", "ansible-inventory")


def require_parts() -> None:
    """Find out at once that it cannot work.

    Raises:
        BenchError: it is no Linux, we are not root, or a program is missing.
    """
    if not sys.platform.startswith("linux"):
        raise BenchError("it needs Linux, for its namespaces: run it there, or in a virtual machine")
    if os.geteuid() != 0:
        raise BenchError("the bench needs its own namespaces: run it as root")
    lacking = [reason for reason in map(missing, PARTS) if reason is not None]
    if lacking:
        raise BenchError(f"{'; '.join(lacking)}: make bench brings what is missing, and runs it")
