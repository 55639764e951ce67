"""The host's QEMU: one process, known by its pid file, started and ended as a whole."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lab import needs
from lab.errors import HostLostError
from lab.place import ADDRESS, HOST, Place

MEMORY_MIB = 4096
COMMAND_LINE = "root=/dev/vda console=ttyS0 net.ifnames=0 mitigations=off quiet panic=-1 lab=host"
BOOT_LIMIT = 300
END_LIMIT = 10


@dataclass(frozen=True)
class Emulator:
    """What runs the host of one lab."""

    place: Place

    @property
    def _pid_file(self) -> Path:
        return self.place.run / "qemu.pid"

    def pid(self) -> int | None:
        """The process, if it lives and is ours: a pid alone may long belong to another program."""
        try:
            pid = int(self._pid_file.read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if self._name().encode() in words and state != "Z" else None

    def start(self) -> None:
        """Begin with a fresh disk over the read-only image, in a session that Ctrl-C does not reach."""
        shutil.rmtree(self.place.run, ignore_errors=True)
        self.place.run.mkdir(parents=True)
        self._make_disk()
        with (self.place.run / "qemu.log").open("wb") as log:
            process = subprocess.Popen(
                self._command(),
                cwd=self.place.run,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid_file.write_text(f"{process.pid}\n")

    def stop(self) -> None:
        """End it, softly and then not, and remove what it left; nothing is worth keeping."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = self.pid()
            if pid is not None:
                os.kill(pid, number)
                self._await_end()
        shutil.rmtree(self.place.run, ignore_errors=True)

    def require_alive(self) -> None:
        """Say that the host is lost, rather than let a wait run out on a dead process."""
        if self.pid() is None:
            raise HostLostError(f"the emulated host has ended: {self._last_words()}")

    def status(self) -> str:
        """QEMU's own word for the machine: running, paused, internal-error and the like."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(END_LIMIT)
            # The address of a socket is short, and a checkout's path may be long.
            with _Directory(self.place.run) as directory:
                monitor.connect(f"{directory}/monitor.sock")
            lines = monitor.makefile("rw")
            lines.readline()
            self._execute(lines, "qmp_capabilities")
            return str(self._execute(lines, "query-status")["status"])

    @staticmethod
    def _execute(lines: TextIO, command: str) -> dict[str, object]:
        lines.write(json.dumps({"execute": command}) + "\n")
        lines.flush()
        answer: dict[str, dict[str, object]] = json.loads(lines.readline())
        return answer["return"]

    def _await_end(self) -> None:
        deadline = time.monotonic() + END_LIMIT
        while self.pid() is not None and time.monotonic() < deadline:
            time.sleep(0.1)

    def _make_disk(self) -> None:
        base = self.place.image / "base.raw"
        command = [needs.program("qemu-img"), "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base)]
        subprocess.run([*command, str(self.place.run / "host.qcow2")], check=True)

    def _name(self) -> str:
        return f"{HOST}-{self.place.suite},debug-threads=on"

    def _last_words(self) -> str:
        for name in ("console.log", "qemu.log"):
            path = self.place.run / name
            text = path.read_text(errors="replace") if path.exists() else ""
            panics = [line for line in text.splitlines() if "panic" in line or "qemu-system" in line]
            if panics:
                return panics[-1].strip()
        return "it left no message"

    def _command(self) -> list[str]:
        image = self.place.image
        return [
            needs.program("qemu-system-x86_64"),
            "-name",
            self._name(),
            "-nodefaults",
            "-no-user-config",
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi,tb-size=1024",
            "-cpu",
            "EPYC,+svm,+npt",
            "-smp",
            "2",
            "-m",
            str(MEMORY_MIB),
            "-display",
            "none",
            "-no-reboot",
            "-kernel",
            str(image / "vmlinuz"),
            "-initrd",
            str(image / "initrd"),
            "-append",
            COMMAND_LINE,
            "-drive",
            "file=host.qcow2,if=none,id=root,format=qcow2,cache=unsafe",
            "-device",
            "virtio-blk-pci,drive=root,addr=4",
            "-drive",
            f"file={image / 'base.raw'},if=none,id=base,format=raw,readonly=on",
            "-device",
            "virtio-blk-pci,drive=base,addr=5",
            "-netdev",
            f"user,id=net,restrict=on,hostfwd=tcp:{ADDRESS}:{self.place.port}-:22",
            "-device",
            "virtio-net-pci,netdev=net,addr=6,romfile=",
            "-device",
            "virtio-rng-pci,addr=7",
            "-serial",
            "file:console.log",
            "-qmp",
            "unix:monitor.sock,server=on,wait=off",
        ]


class _Directory:
    """An open directory under a name short enough for a socket's address."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
