from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted((ROOT / "tools").glob("*.sh"))
PLAIN_TOOLS = ("sh", "basename", "cat", "dirname", "env", "mktemp", "rm", "tail", "tr")


class Machine:
    """A PATH of its own: a few plain tools, and what a test puts beside them."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir()
        for tool in PLAIN_TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool} on this machine"))

    def add(self, name: str, body: str = "exit 0") -> None:
        script = self.bin / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.calls}"\n{body}\n')
        script.chmod(0o755)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env={"PATH": str(self.bin)} | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def install(self, *parts: str) -> subprocess.CompletedProcess[str]:
        return self.run(
            "sh", "-euc", '. tools/packages.sh; install_packages "missing here" "$@"', "install_packages", *parts
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.needs("shellcheck")
def test_the_scripts_are_shellcheck_clean() -> None:
    command = ["shellcheck", "--external-sources", *map(str, SCRIPTS), str(ROOT / ".ci" / "run")]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_without_any_python_the_set_up_says_which_is_missing(machine: Machine) -> None:
    answer = machine.run("sh", "tools/setup.sh")
    assert answer.returncode == 1
    assert "no Python 3.11 or newer here (no python3 at all)" in answer.stderr


def test_an_old_python_is_named_with_its_version(machine: Machine) -> None:
    machine.add("python3", 'case $1 in --version) echo "Python 3.9.2";; *) exit 1;; esac')
    answer = machine.run("sh", "tools/setup.sh")
    assert answer.returncode == 1
    assert "(Python 3.9.2)" in answer.stderr


def test_a_python_that_was_asked_for_is_not_silently_replaced(machine: Machine) -> None:
    machine.add("python3")
    answer = machine.run("sh", "tools/setup.sh", PYTHON="/nonexistent/python3")
    assert answer.returncode == 1
    assert "PYTHON=/nonexistent/python3 is not a Python 3.11 or newer" in answer.stderr


@pytest.mark.parametrize(
    ("manager", "arguments"),
    [
        ("apt-get", "install -y --no-install-recommends libvirt-dev pkg-config python3-dev python3-venv"),
        ("dnf", "install -y libvirt-devel pkgconf-pkg-config python3-devel python3-pip"),
        ("zypper", "--non-interactive install libvirt-devel pkg-config python3-devel python3-pip"),
    ],
)
def test_a_plain_user_is_told_the_one_command(machine: Machine, manager: str, arguments: str) -> None:
    machine.add("id", "echo 1000")
    machine.add(manager)
    answer = machine.install("libvirt-headers", "pkg-config", "python-headers", "ensurepip")
    assert answer.returncode == 1
    assert answer.stderr == f"setup: missing here: as root run: {manager} {arguments}\n"
    assert manager not in machine.calls.read_text()


def test_root_gets_the_parts_installed(machine: Machine) -> None:
    machine.add("id", "echo 0")
    machine.add("apt-get")
    answer = machine.install("virsh")
    assert answer.returncode == 0
    assert answer.stderr.endswith("running: apt-get install -y --no-install-recommends libvirt-clients\n")
    calls = machine.calls.read_text().splitlines()
    assert [call for call in calls if call.startswith("apt-get")] == [
        "apt-get update -qq",
        "apt-get install -y --no-install-recommends libvirt-clients",
    ]


def test_a_failed_installation_shows_what_was_said_and_the_command(machine: Machine) -> None:
    machine.add("id", "echo 0")
    machine.add("apt-get", 'case $1 in install) echo "E: Unable to locate package"; exit 100;; esac')
    answer = machine.install("virsh")
    assert answer.returncode == 1
    assert "E: Unable to locate package\n" in answer.stderr
    assert answer.stderr.endswith("run: apt-get install -y --no-install-recommends libvirt-clients\n")


def test_an_unknown_package_manager_is_said(machine: Machine) -> None:
    answer = machine.install("virsh", "sshd")
    assert answer.returncode == 1
    assert answer.stderr.endswith("no package manager known here; please install: virsh sshd\n")
