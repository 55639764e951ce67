"""The L2 really answers, in each shell; what goes wrong is told as it is; nothing is left, however it ends."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nested_kvm.evidence.l2 import ANSWER, BY_PYTHON, BY_QEMU, LEFT, boot_script, option_rom
from nested_kvm.evidence.reading import Status
from tests.integration.l2.booting import LOOP, SHELLS, Booting, each_shell, session_of
from tests.support.needs import program

pytestmark = pytest.mark.alone

QEMU = "qemu-system-x86_64"
needs_qemu = pytest.mark.needs(QEMU, "accounts")
needs_namespaces = pytest.mark.needs("accounts")
NO_QEMU = (QEMU, "qemu-kvm", "kvm")
LIMIT = 120
"""Seconds after which a process is taken to have stayed."""
TIMEOUTS = {"timeout": 'exec /usr/bin/timeout "$@"', "no-timeout": "exit 1"}
"""What stands for timeout(1)."""


def test_the_option_rom_is_one_that_seabios_takes() -> None:
    rom = option_rom()
    assert (len(rom), rom[:3], sum(rom) % 256) == (512, b"\x55\xaa\x01", 0)
    assert 0 not in rom, "a shell's printf may stop there"


@each_shell
@needs_qemu
def test_the_l2_answers_where_nothing_can_be_written(shell: str, tmp_path: Path) -> None:
    readings = Booting(tmp_path, shell).run()
    assert list(readings) == [BY_QEMU], "an answer needs no second attempt"
    assert readings[BY_QEMU].exit_status == LEFT
    assert readings[BY_QEMU].text.splitlines()[-1] == ANSWER


@needs_qemu
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_it_answers_on_each_machine_that_a_distribution_may_default_to(machine: str, tmp_path: Path) -> None:
    booting = Booting(tmp_path).with_programs(qemu__system__x86_64=f'exec /usr/bin/{QEMU} -M {machine} "$@"')
    assert booting.run()[BY_QEMU].exit_status == LEFT


@each_shell
@needs_qemu
def test_without_the_device_qemu_and_python_say_so_in_their_own_words(shell: str, tmp_path: Path) -> None:
    readings = Booting(tmp_path, shell, accelerator="kvm", model="host").run()
    assert "failed to initialize kvm: No such file or directory" in readings[BY_QEMU].text
    assert readings[BY_PYTHON].text.strip() == "KVM refuses: /dev/kvm: No such file or directory"
    assert {reading.exit_status for reading in readings.values()} == {1}


@needs_qemu
def test_a_device_that_is_another_is_refused_by_both(tmp_path: Path) -> None:
    booting = Booting(tmp_path, accelerator="kvm", model="host")
    command = booting.command()
    command[4] = command[4].replace(
        "mount -o remount,ro", ': >"$dev/kvm"; mount --bind /dev/null "$dev/kvm"\nmount -o remount,ro', 1
    )
    done = subprocess.run(command, env=booting.environment(), capture_output=True, text=True, timeout=300, check=False)
    assert "failed to initialize kvm" in done.stdout
    assert "KVM refuses: KVM_CREATE_VM: Inappropriate ioctl for device" in done.stdout


@pytest.mark.parametrize("shell", ["dash", "busybox"])
@pytest.mark.needs("accounts", "dash", "busybox")
def test_with_neither_qemu_nor_python_both_are_missing(shell: str, tmp_path: Path) -> None:
    """Not in bash, whose `command -v` names a file that hides a program, though it cannot be run."""
    readings = Booting(tmp_path, shell, hidden=[*NO_QEMU, "python3"]).run()
    assert {source: reading.status for source, reading in readings.items()} == {
        BY_QEMU: Status.MISSING,
        BY_PYTHON: Status.MISSING,
    }


@pytest.fixture(scope="module")
def unanswered(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], subprocess.Popen[bytes]]:
    """An L2 that never answers for each shell and timeout: all at once, as each is given its time."""
    return {
        (shell, timeout): Booting(tmp_path_factory.mktemp("unanswered"), shell, seconds=2, code=LOOP)
        .with_programs(timeout=timeout)
        .start()
        for shell in shells_here()
        for timeout in TIMEOUTS.values()
    }


@each_shell
@needs_qemu
@pytest.mark.parametrize("timeout", TIMEOUTS.values(), ids=TIMEOUTS)
def test_an_l2_that_never_answers_is_killed(
    unanswered: dict[tuple[str, str], subprocess.Popen[bytes]], shell: str, timeout: str
) -> None:
    process = unanswered[shell, timeout]
    output, _ = process.communicate(timeout=300)
    assert b"end exit 137\n" in output
    assert f"begin {BY_PYTHON}".encode() not in output, "it had its time"
    assert until(lambda: not session_of(process.pid)), session_of(process.pid)


@needs_namespaces
def test_a_qemu_that_is_killed_early_was_not_too_slow(tmp_path: Path) -> None:
    booting = Booting(tmp_path, hidden=["python3"]).with_programs(qemu__system__x86_64="kill -KILL $$")
    reading = booting.run()[BY_QEMU]
    assert (reading.status, reading.exit_status) == (Status.FAILED, 9)
    assert reading.text.strip() == "it was killed before its time was up"


@needs_namespaces
def test_a_qemu_that_floods_is_cut_short(tmp_path: Path) -> None:
    flood = "i=0; while [ $i -lt 3000 ]; do echo register dump $i; i=$((i + 1)); done; exit 7"
    reading = Booting(tmp_path, hidden=["python3"]).with_programs(qemu__system__x86_64=flood).run()[BY_QEMU]
    assert reading.exit_status == 7
    assert len(reading.text.splitlines()) <= 41


@each_shell
@needs_namespaces
def test_a_last_line_that_never_ends_hides_no_exit_status(shell: str, tmp_path: Path) -> None:
    booting = Booting(tmp_path, shell, hidden=["python3"]).with_programs(
        qemu__system__x86_64='printf "%0900d" 1; exit 7'
    )
    assert booting.run()[BY_QEMU].exit_status == 7


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.Popen[bytes]]:
    """For each shell, a run whose connection was cut while its L2 ran: all at once, as each notices after a while."""
    started = {
        shell: Booting(tmp_path_factory.mktemp("cut"), shell, seconds=90, code=LOOP).start() for shell in shells_here()
    }
    assert until(lambda: all(QEMU[:15] in session_of(process.pid) for process in started.values()))
    for process in started.values():
        assert process.stdout is not None
        process.stdout.close()
    return started


@each_shell
@needs_qemu
def test_a_connection_that_is_cut_leaves_no_process(cut: dict[str, subprocess.Popen[bytes]], shell: str) -> None:
    process = cut[shell]
    assert until(lambda: not session_of(process.pid)), session_of(process.pid)
    process.wait(timeout=LIMIT)


@needs_qemu
def test_a_local_run_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    process = Booting(tmp_path, seconds=90, code=LOOP).start()
    assert until(lambda: QEMU[:15] in session_of(process.pid)), session_of(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=LIMIT)
    assert until(lambda: not session_of(process.pid)), session_of(process.pid)


@needs_qemu
def test_it_has_little_memory_and_yields_to_others(tmp_path: Path) -> None:
    process = Booting(tmp_path, seconds=90, code=LOOP).start()
    assert until(lambda: QEMU[:15] in session_of(process.pid))
    qemu = next(path for path in Path("/proc").glob("[0-9]*") if is_qemu_of(path, process.pid))
    limits = (qemu / "limits").read_text()
    niceness = int((qemu / "stat").read_text().rpartition(")")[2].split()[16])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=LIMIT)
    found = {line[:25].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert found["Max core file size"] == "0"
    assert found["Max data size"] == str(512 * 1024 * 1024)
    assert found["Max cpu time"] == "92"
    assert niceness == min(19, os.nice(0) + 5)


@pytest.mark.needs("shellcheck")
def test_shellcheck_has_nothing_to_say() -> None:
    command = [program("shellcheck") or "", "-"]
    done = subprocess.run(command, input=boot_script(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def shells_here() -> list[str]:
    return [shell for shell in SHELLS if program(shell) is not None]


def is_qemu_of(process: Path, session: int) -> bool:
    try:
        name, _, rest = (process / "stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return False
    return name == QEMU[:15] and rest.split()[3] == str(session)


def until(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + LIMIT
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
