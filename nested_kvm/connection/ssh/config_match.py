"""Runs the command of a `Match exec` line of an ssh-config. See ssh_config(5)."""

import os
import signal
import subprocess
from contextlib import suppress
from typing import Final

SECONDS: Final = 10.0
"""The time limit of one command; OpenSSH has none."""


def succeeds(command: str) -> bool:
    """Run a command by the user's shell as OpenSSH does, without input and output, and return whether it exits with 0.

    Raises:
        ValueError: it cannot be started, or takes too long.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  # the user's own ssh-config says what to run
            [os.environ.get("SHELL") or "/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"Match exec {command!r} cannot be started ({error})") from None
    try:
        return process.wait(SECONDS) == 0
    except subprocess.TimeoutExpired:
        raise ValueError(f"Match exec {command!r} takes longer than {SECONDS:g} s") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
