"""One ad-hoc run of a real Ansible over three hosts, judged as a direct run over SSH would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nested_kvm.evidence.probe import readable_probe
from tests.support.estate import (
    NAMES,
    assert_judged_alike,
    import_answers,
    left_behind,
    places,
    run_directly,
    start_machines,
    write_inventory,
)
from tests.support.schema import assert_valid
from tests.support.sshd import Sshd, SshdFactory, free_port
from tests.support.suite import ROOT, SuiteRun, run_suite

pytestmark = [pytest.mark.heavy, pytest.mark.needs("ansible-inventory", "sshd", "accounts")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ansible")


@pytest.fixture(scope="module")
def machines(start_sshd: SshdFactory) -> dict[str, Sshd]:
    return start_machines(start_sshd)


@pytest.fixture(scope="module")
def direct(folder: Path, machines: dict[str, Sshd]) -> SuiteRun:
    return run_directly(write_inventory(folder, machines))


@pytest.fixture(scope="module")
def hosts(folder: Path, machines: dict[str, Sshd]) -> Path:
    """Write Ansible's own inventory; one host more is dead."""
    options = f"-o UserKnownHostsFile={folder}/known_hosts -o IdentitiesOnly=yes"
    lines = [
        f"{name} ansible_host=127.0.0.1 ansible_port={machine.port} ansible_user=root "
        f"ansible_ssh_private_key_file={machine.identity} ansible_ssh_common_args='{options}'"
        for name, machine in machines.items()
    ]
    lines.append(f"dead ansible_host=127.0.0.1 ansible_port={free_port()}")
    path = folder / "hosts.ini"
    path.write_text("\n".join(lines) + "\n")
    return path


def run_ansible(hosts: Path, tree: Path, *words: str) -> list[Path]:
    """Run the probe by Ansible's `raw`, and return what it left on the machines."""
    before = places()
    command = [shutil.which("ansible") or f"{Path(sys.executable).parent}/ansible", "all", f"--inventory={hosts}"]
    probe = ["-m", "ansible.builtin.raw", "-a", readable_probe()]
    subprocess.run(
        [*command, f"--tree={tree}", *probe, *words],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(hosts.parent), "ANSIBLE_DEPRECATION_WARNINGS": "false"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return left_behind(before)


@pytest.mark.parametrize("words", [["-e", "ansible_ssh_use_tty=false"], []], ids=["without a terminal", "with one"])
def test_every_host_is_judged_as_a_direct_run_judges_it(
    folder: Path, hosts: Path, direct: SuiteRun, words: list[str]
) -> None:
    place = folder / f"tree-{len(words)}"
    assert run_ansible(hosts, place, *words) == []
    evidence = folder / f"evidence-{len(words)}"
    ended = import_answers(folder, "--from=ansible", f"--inventory={folder}/fleet.yaml", f"--to={evidence}", place)
    assert (ended.returncode, ended.stdout) == (0, "3 evidence files, 3 with an answer\n"), ended.stderr
    assert ended.stderr == f"dead is not in {folder}/fleet.yaml: left out\n"
    judged = run_suite(f"--evidence={evidence}", report_dir=folder / f"judged-{len(words)}")
    assert_judged_alike(judged, direct)
    assert_valid(judged)


def test_an_unreachable_host_is_an_error_of_its_own(folder: Path, hosts: Path) -> None:
    assert run_ansible(hosts, folder / "tree", "-e", "ansible_ssh_use_tty=false") == []
    ended = import_answers(folder, "--from=ansible", f"--to={folder}/without-inventory", folder / "tree")
    assert (ended.returncode, ended.stdout) == (6, "4 evidence files, 3 with an answer\n")
    assert ended.stderr.startswith(
        "dead: Ansible has no answer from it: Task failed: Failed to connect to the host via ssh"
    )
    words = f"--evidence={folder}/without-inventory"
    run = run_suite(words, report_dir=folder / "without-inventory-judged")
    assert {name: run.target(name)["observed"] for name in (*NAMES, "dead")} == dict.fromkeys(NAMES, True) | {
        "dead": False
    }
    assert run.status == 1
    assert run.target("dead")["error"].startswith("dead: Ansible has no answer from it")
