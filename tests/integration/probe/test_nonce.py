"""The nonce that frames an answer is known to no other account of the target, and to no command of the probe."""

import os
import subprocess
from pathlib import Path

from nested_kvm.connection.shell_command import standard_input
from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.probe.answer import parse_answer
from tests.integration.probe.probing import each_shell, stub
from tests.support.needs import program

NONCE = "a-nonce-of-this-test"
SPY = "cat /proc/[0-9]*/cmdline >>{seen}; env >>{seen}; exit 0"


@each_shell
def test_no_process_shows_the_nonce_while_the_probe_runs(tmp_path: Path, shell: str) -> None:
    seen = tmp_path / "seen"
    for name in ("modprobe", "uname", "id", "systemctl", "systemd-detect-virt"):
        stub(tmp_path / "bin", name, SPY.format(seen=seen))
    applet = ["sh"] if shell == "busybox" else []
    answer = subprocess.run(
        [program(shell) or shell, *applet, "-s"],
        input=standard_input(probe_script(), [NONCE, "5", "never", "qemu:///system"], sudo=False),
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        check=False,
        timeout=300,
    ).stdout
    assert parse_answer(answer, NONCE).readings
    assert b"modprobe" in seen.read_bytes()
    assert NONCE.encode() not in seen.read_bytes()
