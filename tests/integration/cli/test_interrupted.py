"""A run that is interrupted while a target hangs ends soon, judges what it has, and leaves nothing running."""

import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.guests import PLAIN_GUEST, ssh_config
from tests.support.recorded import record
from tests.support.schema import assert_valid
from tests.support.sshd import SshdFactory, make_key, public
from tests.support.suite import ROOT, SuiteRun, command_line, environment, run_suite

pytestmark = [pytest.mark.needs("sshd", "accounts"), pytest.mark.alone]

SOON = 5.0
"""Seconds, on a busy machine; each time limit of the run itself is longer."""

HANGING = {
    "at its probe": "{address: 'ssh://hangs', level: L1}",
    "at its connection": "{address: 'ssh://silent', level: L1}",
    "at a program of this machine": "{address: 'docker://box', level: L1}",
    "at its libvirt": "{address: 'local://', level: L0, libvirt: 'qemu+unix:///system?socket=SOCKET'}",
}

OTHER_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""A service manager's, and a terminal's that goes away."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, start_sshd: SshdFactory) -> Iterator[Path]:
    """A folder with the ssh_config of a healthy guest and of two that hang, and a `docker` that does."""
    folder = tmp_path_factory.mktemp("interrupted")
    machine = start_sshd(prelude=PLAIN_GUEST)
    key = make_key(folder / "key")
    hang = f'command="exec sleep 1000" {public(key)}\n'
    (machine.directory / "authorized_keys").write_text(f"{public(machine.identity)}\n{hang}")
    config = ssh_config(folder, {"healthy": machine})
    program = folder / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $$ >{shlex.quote(str(folder))}/pid\nexec sleep 1000\n")
    program.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket(socket.AF_UNIX) as libvirt:
        libvirt.bind(str(folder / "socket"))
        libvirt.listen()
        entries = [f"Host silent\nHostName 127.0.0.1\nPort {silent.getsockname()[1]}"]
        entries.append(f"Host hangs\nHostName 127.0.0.1\nPort {machine.port}\nUser {machine.user}\nIdentityFile {key}")
        config.write_text("\n".join([*entries, config.read_text()]))
        yield folder


CASES = [*((where, signal.SIGINT) for where in HANGING), *(("at its probe", each) for each in OTHER_SIGNALS)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}, {case[1].name}")
def interrupted(request: pytest.FixtureRequest, folder: Path) -> tuple[SuiteRun, float]:
    """A run that was interrupted when the healthy guest had been observed, and how long its end took."""
    where, number = request.param
    return interrupt(folder, where, number)


def interrupt(folder: Path, where: str, number: signal.Signals) -> tuple[SuiteRun, float]:
    """Run the suite, send it a signal when the healthy guest has been observed, and wait for its end."""
    reports = folder / f"{where.replace(' ', '-')}-{number.name}"
    hosts = f"  healthy: {{address: 'ssh://healthy', level: L1}}\n  hanging: {HANGING[where]}\n"
    inventory = folder / "fleet.yaml"
    inventory.write_text(f"policy: {{nested: forbidden}}\nhosts:\n{hosts}".replace("SOCKET", f"{folder}/socket"))
    options = [f"--inventory={inventory}", f"--ssh-config={folder}/ssh_config", "--connect-timeout=50"]
    home = environment(folder)
    with subprocess.Popen(
        command_line(*options, report_dir=reports),
        cwd=ROOT,
        env={**home, "PATH": f"{folder}/bin:{home['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            told = next(line for line in process.stdout if line == "observed 1 of 2\n")
            process.send_signal(number)
            start = time.monotonic()
            output, errors = process.communicate(timeout=40)
            return SuiteRun(process.returncode, told + output, errors, reports), time.monotonic() - start
        finally:
            process.kill()


def test_it_ends_soon_as_an_interrupted_pytest_does(interrupted: tuple[SuiteRun, float]) -> None:
    run, seconds = interrupted
    assert run.status == run.document["run"]["exit_status"] == 2
    assert seconds < SOON
    assert "interrupted: evaluating what was observed so far" in run.output
    assert "INCOMPLETE: the run ended before everything was evaluated" in run.output
    assert "Traceback" not in run.text


def test_what_was_observed_before_is_kept_and_judged(interrupted: tuple[SuiteRun, float]) -> None:
    run, _ = interrupted
    assert run.document["run"]["complete"] is False
    assert run.target("healthy")["observed"]
    assert run.evidence("healthy")["readings"]
    assert run.outcomes("healthy")["L1-CPU-01"] == "pass"
    assert "The run ended before everything was evaluated." in run.html
    assert_valid(run)


def test_what_was_not_observed_is_an_error_in_results_and_evidence(interrupted: tuple[SuiteRun, float]) -> None:
    run, _ = interrupted
    message = "hanging: the run ended before it was observed"
    assert run.target("hanging")["error"] == run.evidence("hanging")["failure"]["message"] == message
    assert set(run.outcomes("hanging").values()) - {"notapplicable"} == {"error"}
    assert not (run.reports / "evidence" / "targets.pending").exists()


def test_of_a_killed_run_the_evidence_is_judged_and_what_it_lacks_is_an_error(folder: Path) -> None:
    killed, _ = interrupt(folder, "at its probe", signal.SIGKILL)
    assert killed.status == -signal.SIGKILL
    (left,) = [path for path in killed.report_dir.iterdir() if not path.is_symlink()]
    assert [path.name for path in left.iterdir()] == ["evidence"]
    run = run_suite(f"--evidence={left}/evidence", report_dir=folder / "judged")
    assert run.status == 6
    assert run.outcomes("healthy")["L1-CPU-01"] == "pass"
    assert run.target("hanging")["error"] == "hanging: the run was killed before it was observed"
    assert run.target("hanging")["level"] == "L1"
    assert run.document["run"]["complete"] is True
    assert_valid(run)


def test_no_program_is_left_running(interrupted: tuple[SuiteRun, float], folder: Path) -> None:
    assert interrupted
    pid = folder / "pid"
    if pid.exists():
        assert state(int(pid.read_text())) in {None, "Z"}


def state(pid: int) -> str | None:
    """Return the letter of proc(5); None where there is no such process."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return None


def test_a_run_that_is_told_to_stop_early_is_not_complete_and_lets_nothing_through(folder: Path) -> None:
    record(folder / "stopped", "off", readings={"/sys/module/kvm_amd/parameters": "nested=0\nnpt=Y"})
    record(folder / "stopped", "sound")
    run = run_suite(f"--evidence={folder}/stopped", "-x", "--gate", report_dir=folder / "stopped-early")
    assert run.document["run"]["complete"] is False
    assert "off  BLOCK" in run.output
    assert "sound  INCOMPLETE" in run.output
    assert "PASS" not in run.output
