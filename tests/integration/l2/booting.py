"""Runs the script that boots an L2 in a world of its own: nothing can be written there, and there is no /dev/kvm.

So QEMU is told to emulate: that shows that the L2 answers wherever a processor runs it. KVM itself is the lab's part.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from nested_kvm.evidence.l2 import CODE, boot_arguments, boot_script
from nested_kvm.evidence.probe.answer import parse_answer
from nested_kvm.evidence.reading import Reading
from tests.support.needs import program

NONCE = "0123456789abcdef"
TCG, ANY_CPU = "tcg,tb-size=16", "max"
LOOP = b"\xeb\xfe".ljust(len(CODE), b"\x90")
"""jmp to itself: an L2 that never answers."""
SHELLS = ("dash", "bash", "busybox")
each_shell = pytest.mark.parametrize("shell", [pytest.param(name, marks=pytest.mark.needs(name)) for name in SHELLS])
WORLD = """
dev=$1
shift
mount -t tmpfs none "$dev"
for name in null zero random urandom; do
    : >"$dev/$name"
    mount --bind "/dev/$name" "$dev/$name"
done
ln -s /proc/self/fd "$dev/fd"
mount -o remount,ro "$dev"
mount --rbind "$dev" /dev
while [ "$1" != -- ]; do
    mount --bind /dev/null "$1"
    shift
done
shift
for path in /run /var/tmp; do mount -t tmpfs -o ro none "$path"; done
mount -o remount,ro,bind /
exec "$@"
"""


@dataclass(frozen=True)
class Booting:
    """How the script is run. `first_on_path` holds programs in place of the machine's, `hidden` names some to hide."""

    place: Path
    shell: str = "sh"
    seconds: int = 30
    accelerator: str = TCG
    model: str = ANY_CPU
    code: bytes = CODE
    first_on_path: Path | None = None
    hidden: Sequence[str] = field(default_factory=list)

    def run(self) -> dict[str, Reading]:
        done = subprocess.run(
            self.command(),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode, done.stderr.decode()) == (0, "")
        answer = parse_answer(done.stdout, NONCE)
        assert answer.cut is None
        return answer.readings

    def start(self) -> subprocess.Popen[bytes]:
        """Start it as the leader of a session, so that all it starts can be found."""
        return subprocess.Popen(
            self.command(),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def environment(self) -> dict[str, str]:
        path = "/usr/bin:/bin"
        return {"PATH": path if self.first_on_path is None else f"{self.first_on_path}:{path}"}

    def command(self) -> list[str]:
        dev = self.place / "dev"
        dev.mkdir(exist_ok=True)
        applet = ["sh"] if self.shell == "busybox" else []
        shell = [program(self.shell) or self.shell, *applet, "-c", boot_script(), "boot", *self.arguments()]
        hidden = [path for name in self.hidden if os.path.exists(path := f"/usr/bin/{name}")]  # noqa: PTH110 - as PATH
        return ["unshare", "--mount", "sh", "-ec", WORLD, "sh", str(dev), *hidden, "--", *shell]

    def arguments(self) -> list[str]:
        given = boot_arguments(NONCE, self.seconds, self.accelerator, self.model)
        old, new = ("".join(f"\\0{byte:03o}" for byte in code) for code in (CODE, self.code))
        change = (sum(CODE) - sum(self.code)) % 256
        rom = given[2].replace(old, new)
        checksum = (int(rom[-3:], 8) + change) % 256
        return [*given[:2], f"{rom[:-3]}{checksum:03o}", *given[3:]]

    def with_programs(self, **bodies: str) -> "Booting":
        """The same with programs in front of the machine's own; `__` in a name stands for `-`."""
        folder = self.place / "bin"
        folder.mkdir(exist_ok=True)
        for name, body in bodies.items():
            path = folder / name.replace("__", "-")
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
        return replace(self, first_on_path=folder)


def session_of(pid: int) -> list[str]:
    """Name every process of a session that runs; a zombie has ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        state, _parent, _group, session = rest.split()[:4]
        if state != "Z" and session == str(pid):
            found.append(name)
    return found
