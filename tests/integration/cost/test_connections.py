"""Connections are closed as soon as nothing needs them, so that a large fleet fits into what a process may open."""

import subprocess
import sys
from pathlib import Path

import pytest

from nested_kvm.plugin.host_usage import may_ask_for_host
from tests.support.guests import PLAIN_GUEST, ssh_config
from tests.support.sshd import Sshd, SshdFactory
from tests.support.suite import ROOT, SuiteRun, environment

pytestmark = pytest.mark.alone

HOSTS = 90
ROOM = 70
"""The files that may be open beside those of the interpreter itself: fewer than one for each host."""
LIMITED = """\
import os, resource, sys
import pytest

files = max(map(int, os.listdir("/proc/self/fd"))) + 1 + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def machine(start_sshd: SshdFactory) -> Sshd:
    return start_sshd(prelude=PLAIN_GUEST, settings=["MaxStartups 100"])


def audit(folder: Path, machine: Sshd, fleet: str, *words: str) -> SuiteRun:
    """Audit hosts that are all one machine, with few files to open."""
    names = [f"kvm-{number}" for number in range(HOSTS)]
    config = ssh_config(folder, dict.fromkeys(names, machine))
    (folder / "fleet.yaml").write_text(fleet)
    options = [f"--inventory={folder}/fleet.yaml", f"--ssh-config={config}", "--forks=4", *words]
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(ROOM), f"--report-dir={folder / 'reports'}", *options],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    return SuiteRun(ended.returncode, ended.stdout, ended.stderr, folder / "reports")


@pytest.mark.needs("sshd", "accounts")
def test_more_hosts_are_audited_than_files_may_be_open(machine: Sshd, tmp_path: Path) -> None:
    hosts = "".join(f"  kvm-{number}: {{address: 'ssh://kvm-{number}', level: L1}}\n" for number in range(HOSTS))
    run = audit(tmp_path, machine, f"hosts:\n{hosts}")
    assert {target["error"] for target in run.document["targets"]} == {None}
    assert len(run.document["targets"]) == HOSTS


@pytest.mark.needs("sshd", "accounts")
def test_a_host_stays_connected_until_its_last_guest_was_looked_at(machine: Sshd, tmp_path: Path) -> None:
    before = machine.logins
    guests = "".join(
        f"      ci-{number}: {{address: 'ssh://kvm-{number + 1}', via: host}}\n" for number in range(HOSTS // 2)
    )
    run = audit(
        tmp_path, machine, f"hosts:\n  kvm-0:\n    address: 'ssh://kvm-0'\n    libvirt: none\n    guests:\n{guests}"
    )
    assert {target["error"] for target in run.document["targets"]} == {None}
    assert machine.logins - before == 1 + HOSTS // 2


@pytest.mark.parametrize(
    ("file", "text", "asks"),
    [
        ("test_a.py", "def test_a(host): pass", True),
        ("test_a.py", "def test_a(cpu): '''The host has one.'''", False),
        ("test_a.py", "import pytest\n@pytest.mark.usefixtures('host')\ndef test_a(): pass", True),
        ("test_a.py", "def test_a(request): request.getfixturevalue('host')", True),
        ("conftest.py", "import pytest\n@pytest.fixture\ndef clock(host): pass", True),
        ("deep/er/test_a.py", "class TestA:\n    def test_a(self, *, host): pass", True),
        ("test_a.py", "def test_a(", True),
        ("example.py", "def test_a(host): pass", False),
    ],
)
def test_only_a_check_that_may_ask_for_a_live_host_keeps_them_open(
    pytester: pytest.Pytester, file: str, text: str, *, asks: bool
) -> None:
    path = pytester.path / "checks" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert may_ask_for_host(pytester.parseconfig("checks")) is asks


def test_none_of_our_own_controls_asks_for_it(pytester: pytest.Pytester) -> None:
    assert may_ask_for_host(pytester.parseconfig(ROOT / "checks")) is False
