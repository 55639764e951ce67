"""The process that the host lives in: known by its pid file, started and ended as a whole."""

import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lab import bochs, qemu
from lab.config import LabConfig
from lab.errors import HostLostError
from lab.software import Software

BOOT_LIMIT = 240
START_LIMIT = 10
END_LIMIT = 10
LOG = "emulator.log"
PID_FILE = "emulator.pid"
SOFTWARE = {"amd": qemu.software, "intel": bochs.software}


@dataclass(frozen=True)
class Emulator:
    """What runs the host of one lab."""

    config: LabConfig

    def pid(self) -> int | None:
        """The process, if it lives and is ours: a pid alone may long belong to another program."""
        try:
            pid = int((self.config.run / PID_FILE).read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if self._software().mark.encode() in words and not _is_over(pid) else None

    def start(self) -> None:
        """Begin with fresh disks over the read-only image, in a session that Ctrl-C does not reach."""
        shutil.rmtree(self.config.run, ignore_errors=True)
        self.config.run.mkdir(parents=True)
        software = self._software()
        software.prepare(self.config)
        # An orphan from the start: it outlives this process, and whoever adopts it buries it.
        subprocess.run(
            ["sh", "-c", f'setsid "$@" </dev/null >{LOG} 2>&1 & echo $! >{PID_FILE}', "sh", *software.command],
            cwd=self.config.run,
            env={**os.environ, **software.environment},
            check=True,
        )
        self._await_command_line()

    def stop(self) -> None:
        """End it, softly and then not, and remove what it left; nothing is worth keeping."""
        for number in self._software().end_signals:
            pid = self.pid()
            if pid is not None:
                os.kill(pid, number)
                self._await_end(pid)
        shutil.rmtree(self.config.run, ignore_errors=True)

    def require_alive(self) -> int:
        """The process; a wait for a dead one ends here and does not run out.

        Raises:
            HostLostError: it has ended.
        """
        pid = self.pid()
        if pid is None:
            raise HostLostError(f"the emulated host has ended: {self._last_words()}")
        return pid

    def status(self) -> str:
        """QEMU's own word for the machine: running, paused, internal-error and the like; Bochs has none."""
        if not (self.config.run / qemu.MONITOR).exists():
            return "running"
        with socket.socket(socket.AF_UNIX) as monitor, _Directory(self.config.run) as directory:
            monitor.settimeout(END_LIMIT)
            # The address of a socket is short, and a checkout's path may be long.
            monitor.connect(f"{directory}/{qemu.MONITOR}")
            with monitor.makefile("rw") as lines:
                lines.readline()
                self._execute(lines, "qmp_capabilities")
                return str(self._execute(lines, "query-status")["status"])

    def _software(self) -> Software:
        return SOFTWARE[self.config.suite.vendor](self.config)

    @staticmethod
    def _execute(lines: TextIO, command: str) -> dict[str, object]:
        lines.write(json.dumps({"execute": command}) + "\n")
        lines.flush()
        answer: dict[str, dict[str, object]] = json.loads(lines.readline())
        return answer["return"]

    def _await_command_line(self) -> None:
        """Until the process has become the emulator: before that `pid` does not recognize it."""
        deadline = time.monotonic() + START_LIMIT
        pid = int((self.config.run / PID_FILE).read_text())
        while self.pid() is None and not _is_over(pid) and time.monotonic() < deadline:
            time.sleep(0.05)

    @staticmethod
    def _await_end(pid: int) -> None:
        """Until its memory is given back: by then it has long lost its command line, by which `pid` knows it."""
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
    """Whether a process has ended, buried or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


class _Directory:
    """An open directory under a name short enough for a socket's address."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
