"""Runs `ansible-inventory --list` within limits of time and size."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import IO, Any, Final, cast

from nested_kvm.errors import InventoryError, UsageError

PROGRAM: Final = "ansible-inventory"
SECONDS: Final = 120
"""The time limit; a dynamic inventory may query a cloud."""
SIZE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes: the variables of ten thousand hosts, many times over."""
_COMPLAINT: Final = 2000
_STRICT: Final = {
    "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
    "ANSIBLE_FORCE_COLOR": "false",
    "ANSIBLE_NOCOLOR": "true",
    "ANSIBLE_DEPRECATION_WARNINGS": "false",
    "ANSIBLE_INVENTORY_EXPORT": "false",
    "LC_ALL": "C.UTF-8",
}
"""By default Ansible ignores what it cannot read or match. It needs a UTF-8 locale."""


def ansible_inventory(path: Path, pattern: str | None = None) -> dict[str, Any]:
    """Return the output of `ansible-inventory --list` for all hosts, or for those that match an Ansible pattern.

    Raises:
        UsageError: ansible-core is not installed.
        InventoryError: Ansible cannot read it, part of the pattern matches nothing, or it takes too long.
    """
    limit = [] if pattern is None else [f"--limit={pattern}"]
    output = _run([_program(), "--list", f"--inventory={path}", *limit], path)
    try:
        document = json.loads(output)
    except (ValueError, RecursionError):
        raise InventoryError(f"{path}: the output of {PROGRAM} is not JSON") from None
    if not isinstance(document, dict):
        raise InventoryError(f"{path}: the output of {PROGRAM} is not an inventory")
    return document


def _program() -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which(PROGRAM) or shutil.which(PROGRAM, path=beside)
    if found is None:
        raise UsageError(
            f"--ansible-inventory needs {PROGRAM}, which was not found: install ansible-core, "
            f"for example with {beside}/pip install ansible-core"
        )
    return found


def _run(command: Sequence[str], path: Path) -> bytes:
    if not path.exists():
        raise InventoryError(f"--ansible-inventory: {path}: No such file or directory")
    with TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | _STRICT,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"{command[0]} cannot be started: {error.strerror}") from None
        output = _answer(process, path)
        if process.returncode != 0:
            raise InventoryError(f"{path}: {_complaint(errors)}")
        return output


def _answer(process: subprocess.Popen[bytes], path: Path) -> bytes:
    """Wait for the whole output; a program that exceeds a limit is killed with its process group."""
    alarm = Timer(SECONDS, _kill, [process])
    alarm.daemon = True
    alarm.start()
    stdout = cast("IO[bytes]", process.stdout)
    try:
        output = stdout.read(SIZE_LIMIT + 1)
        if len(output) > SIZE_LIMIT:
            raise InventoryError(f"{path}: {PROGRAM} wrote more than {SIZE_LIMIT // 1024 // 1024} MiB")
        if process.wait() == -signal.SIGKILL:
            raise InventoryError(f"{path}: {PROGRAM} was killed; its time limit is {SECONDS} s")
        return output
    finally:
        alarm.cancel()
        _kill(process)
        stdout.close()
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _complaint(errors: IO[bytes]) -> str:
    """Return the errors and warnings that Ansible wrote, else its last line."""
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - _COMPLAINT))
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    messages = [line.partition("]:")[2].strip() for line in lines if line.startswith(("[ERROR]:", "[WARNING]:"))]
    reason = "; ".join(reversed(messages)) or "".join(lines[-1:]) or "Ansible gave no reason"
    return reason.replace("Could not match supplied host pattern, ignoring", "--hosts matches nothing")
