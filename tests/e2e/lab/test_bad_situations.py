"""Failures around a lab: each ends in one clear line and leaves nothing running."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import heartbeat, qemu
from lab.config import ADDRESS, SOURCE, SUITES, LabConfig
from lab.emulator_package import EmulatorPackage
from lab.errors import HostLostError
from lab.monitor import Monitor
from lab.session import Session

LIMIT = 60


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project whose lab has no image yet."""
    shutil.copytree(SOURCE, tmp_path / "lab", ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    return tmp_path


@pytest.fixture
def built_copy(copy: Path, lab: Session) -> Path:
    """A copy of the project with the image that is already built."""
    directory = copy / ".lab" / lab.config.suite.name
    directory.mkdir(parents=True)
    (directory / "image").symlink_to(lab.config.image)
    (copy / ".lab/qemu").symlink_to(EmulatorPackage.of(lab.config).directory)
    return copy


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "lab", *words]


def last_line(project: Path, *prefix: str, port: int, words: str = "up", **environment: str) -> str:
    """Run a command that must fail, and return its last line."""
    done = subprocess.run(
        [*prefix, *command(*words.split())],
        cwd=project,
        env={**os.environ, "LAB_PORT": str(port), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_a_taken_port_is_named(copy: Path, free_port: int) -> None:
    with socket.socket() as other:
        other.bind((ADDRESS, free_port))
        other.listen()
        line = last_line(copy, port=free_port)
    assert line == f"lab: port {free_port} of {ADDRESS} is taken; choose another with LAB_PORT=…"


def test_missing_packages_are_named_with_the_one_command(copy: Path, free_port: int) -> None:
    line = last_line(copy, port=free_port, PATH="/nowhere")
    assert line.startswith("lab: missing packages: ")
    assert "mmdebstrap" in line.partition("; as root: apt-get install ")[2]


def test_building_without_root_says_so(copy: Path, free_port: int) -> None:
    line = last_line(copy, "unshare", "--user", "--map-user=1000", port=free_port)
    assert line.startswith("lab: building the image needs root")


def test_a_full_disk_is_reported_in_gib(copy: Path, free_port: int) -> None:
    small = f'mount -t tmpfs -o size=20m tmpfs {copy}/.lab && exec "$@"'
    (copy / ".lab").mkdir()
    line = last_line(copy, "unshare", "--mount", "sh", "-ec", small, "sh", port=free_port)
    assert line.startswith("lab: the lab needs 2.5 GiB free in ")
    assert line.endswith("there are 0.0")


def test_an_unknown_suite_is_rejected_with_the_known_ones(copy: Path, free_port: int) -> None:
    line = last_line(copy, port=free_port, LAB_SUITE="woody")
    assert line == f"lab: LAB_SUITE=woody is not one of {', '.join(SUITES)}"


def test_a_partial_image_is_never_used(copy: Path, free_port: int, lab: Session) -> None:
    directory = copy / ".lab" / lab.config.suite.name
    (directory / "image.tmp/root").mkdir(parents=True)
    line = last_line(copy, port=free_port, LAB_MIRROR=f"http://{ADDRESS}:{free_port}/")
    assert line.startswith("lab: mmdebstrap failed: ")
    assert not (directory / "image").exists()
    assert str(copy) not in Path("/proc/self/mounts").read_text()


def test_a_verb_that_needs_a_lab_names_the_command_that_starts_it(copy: Path, free_port: int, lab: Session) -> None:
    line = last_line(copy, port=free_port, words="start passthrough")
    assert line == f"lab: the {lab.config.suite.name} lab is down; start it with make lab-up"


def test_a_host_that_hangs_is_noticed_long_before_its_command_times_out(lab: Session) -> None:
    with Monitor(lab.config.run / qemu.MONITOR) as monitor:
        monitor.execute("stop")
        try:
            begun = time.monotonic()
            with pytest.raises(HostLostError, match="no heartbeat from CPU 0"):
                lab.host.shell.run("true", limit=10 * LIMIT)
            assert time.monotonic() - begun < LIMIT
        finally:
            monitor.execute("cont")
            await_beat(lab)
    assert lab.host.shell.run("echo alive", limit=10 * LIMIT) == "alive\n"


def await_beat(lab: Session) -> None:
    """Wait until the host is heard again: until then it counts as hung, as it was silent that long."""
    log = lab.config.run / heartbeat.BEATS
    heard = log.stat().st_size
    deadline = time.monotonic() + LIMIT
    while log.stat().st_size == heard:
        assert time.monotonic() < deadline, "the host is silent"
        time.sleep(0.1)


@pytest.fixture
def starting(built_copy: Path, free_port: int, lab: Session) -> Iterator[tuple[subprocess.Popen[bytes], Session]]:
    """A `lab up` that has just started its emulator, and its session."""
    suite = replace(lab.config.suite, port=free_port)
    session = Session(LabConfig(suite, built_copy / ".lab" / suite.name))
    environment = {**os.environ, "LAB_PORT": str(free_port)}
    process = subprocess.Popen(command("up"), cwd=built_copy, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + LIMIT
    while not session.is_up():
        assert time.monotonic() < deadline, "no emulator was started"
        time.sleep(0.2)
    yield process, session
    process.kill()
    process.communicate()
    session.down()


def test_what_one_lab_saved_another_of_its_suite_restores(lab: Session) -> None:
    others = Session(replace(lab.config, number=9))
    assert lab.full_snapshot.is_usable()
    assert others.full_snapshot.is_usable()
    assert not replace(others.full_snapshot, guests=("shut-off",)).is_usable()


def nothing_is_left(session: Session, pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    gone = not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    with socket.socket() as probe:
        refused = probe.connect_ex((ADDRESS, session.config.port)) != 0
    return gone and refused and not session.config.run.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_an_interrupted_start_leaves_nothing(
    starting: tuple[subprocess.Popen[bytes], Session], number: signal.Signals
) -> None:
    process, session = starting
    pid = session.emulator.pid()
    assert pid is not None
    process.send_signal(number)
    assert process.wait(LIMIT) == 130
    assert nothing_is_left(session, pid)


def test_down_ends_what_a_killed_start_left(starting: tuple[subprocess.Popen[bytes], Session]) -> None:
    process, session = starting
    pid = session.emulator.pid()
    assert pid is not None
    process.kill()
    process.wait(LIMIT)
    assert not nothing_is_left(session, pid)
    session.down()
    assert nothing_is_left(session, pid)
