"""Runs the real probe under a real shell, where wanted in a mount namespace of its own."""

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.probe.answer import ProbeAnswer, parse_answer
from tests.support.needs import program

NONCE = "0123456789abcdef"
SCRIPT = probe_script()
SHELLS = ("dash", "bash", "busybox")
each_shell = pytest.mark.parametrize("shell", [pytest.param(name, marks=pytest.mark.needs(name)) for name in SHELLS])
kmods_shells = pytest.mark.parametrize(
    "shell", [pytest.param(name, marks=pytest.mark.needs(name)) for name in SHELLS if name != "busybox"]
)
"""Without busybox, which prefers its own applets to the machine's programs."""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@dataclass(frozen=True)
class Probed:
    answer: ProbeAnswer
    stderr: str
    seconds: float


@dataclass(frozen=True)
class Probing:
    """How the probe is run. `mounts` puts paths over others, which takes a namespace; `hidden` hides programs."""

    shell: str = "sh"
    arguments: Sequence[str] = ("5", "never", "qemu:///system")
    first_on_path: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path("/")
    mounts: Mapping[Path, str] = field(default_factory=dict)
    hidden: Sequence[str] = ()
    within: Sequence[str] = ()
    script: str = SCRIPT

    def run(self) -> Probed:
        started = time.monotonic()
        path = f"{self.first_on_path}:{os.environ['PATH']}" if self.first_on_path else os.environ["PATH"]
        done = subprocess.run(
            self.command(),
            env={**os.environ, **self.environment, "PATH": path},
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=300,
        )
        seconds = time.monotonic() - started
        return Probed(parse_answer(done.stdout, NONCE), done.stderr.decode(errors="replace"), seconds)

    def command(self) -> list[str]:
        applet = ["sh"] if self.shell == "busybox" else []
        probe = [
            *self.within,
            program(self.shell) or self.shell,
            *applet,
            "-c",
            self.script,
            "probe",
            NONCE,
            *self.arguments,
        ]
        over = [(str(source), place) for source, place in self.mounts.items()]
        over += [("/dev/null", path) for name in self.hidden if (path := program(name)) is not None]
        if not over:
            return probe
        mounts = " && ".join(f"mount --bind {shlex.quote(source)} {shlex.quote(place)}" for source, place in over)
        return ["unshare", "--mount", "/bin/sh", "-c", f'{mounts} && exec "$@"', "sh", *probe]


def stub(folder: Path, name: str, body: str) -> Path:
    """Put a program in front of the machine's own."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)
    return folder
