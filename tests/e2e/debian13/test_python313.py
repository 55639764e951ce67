"""A newer distribution with a newer Python: Debian 13, made by mmdebstrap, without network inside.

What the tests print is kept in `build/debian-13.txt`.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.installed import ROOT, build
from tests.support.wheels import download, step

pytestmark = [pytest.mark.slow, pytest.mark.needs("mmdebstrap")]
PACKAGES = "busybox,ca-certificates,gcc,git,kmod,make,openssh-client,procps,python3,python3-dev,python3-venv"
HOME = "/home/an ordinary user"
UID = 1000
SECONDS = 900
TRANSCRIPT = ROOT / "build" / "debian-13.txt"
SUITE = """
from nested_kvm import observe

def test_the_runner_can_say(host, nested_kvm):
    assert nested_kvm.diagnosis
    assert nested_kvm.can_nest in (True, False)
    assert nested_kvm.identity.kernel_release == host.check_output("uname -r")
"""


@dataclass(frozen=True)
class Debian:
    """The root, and an ordinary user in it."""

    root: Path

    def run(self, script: str, folder: str = HOME) -> subprocess.CompletedProcess[str]:
        """Run a shell script as the user; the packages come from a folder."""
        mounts = f'mount --rbind /sys "{self.root}/sys"; mount -t tmpfs -o mode=1777 none "{self.root}/dev/shm"'  # noqa: S108
        variables = {"HOME": HOME, "PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/opt/wheels"}
        assignments = [f"{name}={value}" for name, value in variables.items()]
        inside = ["env", "-i", *assignments, "sh", "-c", f'cd "{folder}" && {script}']
        answer = subprocess.run(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={self.root}/proc"),
                *("sh", "-ec", f'{mounts}; exec chroot --userspec={UID}:{UID} "{self.root}" "$@"', "sh", *inside),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        _note(script, answer)
        return answer

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the user's, by their path below its home."""
        for name, text in files.items():
            path = Path(f"{self.root}{HOME}", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.give()

    def give(self) -> None:
        """Give everything in the home to the user."""
        subprocess.run(["chown", "-R", f"{UID}:{UID}", f"{self.root}{HOME}"], check=True)


def _note(script: str, answer: subprocess.CompletedProcess[str]) -> None:
    TRANSCRIPT.parent.mkdir(exist_ok=True)
    with TRANSCRIPT.open("a", encoding="utf-8") as file:
        file.write(f"$ {script}\n{answer.stdout}{answer.stderr}[exit status {answer.returncode}]\n\n")


@pytest.fixture(scope="module")
def debian() -> Iterator[Debian]:
    TRANSCRIPT.unlink(missing_ok=True)
    with TemporaryDirectory(prefix="debian13-", dir="/var/tmp") as name:
        root = Path(name) / "root"
        options = ("--mode=root", "--variant=minbase", "--format=directory", f"--include={PACKAGES}")
        isolated = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        step(*isolated, "mmdebstrap", *options, "trixie", root)
        wheels = root / "opt" / "wheels"
        wheels.mkdir(parents=True)
        for lock in ("requirements.lock", "requirements-test.lock"):
            download(lock, "3.13", wheels)
        build(wheels)
        (root / HOME.lstrip("/")).mkdir()
        _copy_project(Path(f"{root}{HOME}", "a clone"))
        found = Debian(root)
        found.give()
        yield found


def _copy_project(clone: Path) -> None:
    """Copy what git tracks, as it is now, and make a repository of it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    step("git", "init", "-q", folder=clone)
    step("git", "add", "-A", folder=clone)


def test_the_wheel_installs_in_a_folder_with_a_space(debian: Debian) -> None:
    assert "Python 3.13" in debian.run("python3 --version").stdout
    answer = debian.run(
        "python3 -m venv venv && venv/bin/pip install -q nested-kvm-compliance && venv/bin/nested-kvm --version"
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("nested-kvm ")


def test_the_doctor_answers(debian: Debian) -> None:
    answer = debian.run("venv/bin/nested-kvm doctor")
    assert answer.returncode in {0, 1, 6}, answer.stderr
    assert "it can run VMs under KVM:" in answer.stdout


def test_the_demos_fleet_gives_the_results_that_it_gives_here(debian: Debian, tmp_path: Path) -> None:
    words = (
        "--inventory=examples/fleet/inventory.yaml",
        "--evidence=examples/fleet/evidence",
        "--waivers=examples/fleet/waivers.yaml",
        "--baseline=examples/fleet/baseline.json",
    )
    line = f"'{HOME}/venv/bin/nested-kvm' audit {' '.join(words)} --report-dir=../demo | tail -n 12"
    answer = debian.run(line, f"{HOME}/a clone")
    assert "NOT COMPLIANT" in answer.stdout, answer.stdout + answer.stderr
    theirs = json.loads(Path(f"{debian.root}{HOME}/demo/latest/results.json").read_text())
    command = [sys.executable, "-m", "pytest", f"--report-dir={tmp_path}", *words]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    ours = json.loads((tmp_path / "latest" / "results.json").read_text())
    assert theirs["results"] == ours["results"]
    assert theirs["diagnoses"] == ours["diagnoses"]


def test_a_foreign_suite_asks_it(debian: Debian) -> None:
    debian.write({"suite/test_it.py": SUITE})
    answer = debian.run(f"'{HOME}/venv/bin/pytest' --hosts=local:// -rA", f"{HOME}/suite")
    assert "1 passed" in answer.stdout, answer.stdout + answer.stderr


def test_make_audit_works_in_a_clone(debian: Debian) -> None:
    answer = debian.run("make audit", f"{HOME}/a clone")
    assert "1 target" in answer.stdout, answer.stdout + answer.stderr
    assert Path(f"{debian.root}{HOME}/a clone/reports/latest/report.html").resolve().name == "report.html"


def test_the_fast_tests_pass_in_a_clone(debian: Debian) -> None:
    answer = debian.run("make test-fast ARGS='-p no:cacheprovider'", f"{HOME}/a clone")
    assert answer.returncode == 0, answer.stdout[-5000:] + answer.stderr[-2000:]
