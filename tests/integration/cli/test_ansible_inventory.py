"""The suite over an Ansible inventory: a real ansible-inventory, real sshd, and our own SSH."""

import json
from pathlib import Path

import pytest

from tests.support.guests import PLAIN_GUEST
from tests.support.schema import assert_valid
from tests.support.sshd import Sshd, SshdFactory
from tests.support.suite import SuiteRun, run_many, run_suite

pytestmark = pytest.mark.needs("sshd", "accounts", "ansible-inventory")

SUDO = '#!/bin/sh\necho "sudo $*" >>{log}\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'


@pytest.fixture(scope="module")
def machines(start_sshd: SshdFactory) -> dict[str, Sshd]:
    """Two guests of one host; the second is entered through the host, and has its own idea of sudo."""
    return {name: start_sshd(prelude=PLAIN_GUEST) for name in ("kvm-a", "ci-1", "ci-2")}


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory, machines: dict[str, Sshd]) -> Path:
    folder = tmp_path_factory.mktemp("estate")
    for machine in machines.values():
        machine.directory.joinpath("sudo.log").touch()
        machine.directory.joinpath("sudo.log").chmod(0o666)
        machine.add_program("sudo", SUDO.format(log=machine.directory / "sudo.log"))
    (folder / "known_hosts").write_text("".join(machine.known_hosts() for machine in machines.values()))
    (folder / "ssh_config").write_text(f"UserKnownHostsFile {folder}/known_hosts\nGlobalKnownHostsFile none\n")

    def line(name: str, words: str) -> str:
        machine = machines[name]
        way = f"ansible_host=127.0.0.1 ansible_port={machine.port} ansible_user={machine.user}"
        return f"{name} {way} ansible_ssh_private_key_file={machine.identity} {words}\n"

    path = folder / "estate.ini"
    path.write_text(
        "[kvm]\n"
        + line("kvm-a", "nested_level=L0 nested_libvirt=none nested_policy=forbidden")
        + "[guests]\n"
        + line("ci-1", "nested_host=kvm-a ansible_ssh_common_args='-J kvm-a'")
        + line("ci-2", "nested_host=kvm-a ansible_become=yes")
        + "[guests:vars]\nnested_policy=forbidden\n"
    )
    return path


@pytest.fixture(scope="module")
def run(inventory: Path) -> SuiteRun:
    folder = inventory.parent
    options = [f"--ansible-inventory={inventory}", f"--ssh-config={folder}/ssh_config"]
    return run_suite(*options, "--hosts=ansible://all", report_dir=folder / "reports")


def test_the_whole_chain_is_observed_and_judged(run: SuiteRun, inventory: Path) -> None:
    assert run.status == 6, run.text
    assert [(each["name"], each["level"], each["host"], each["observed"]) for each in run.document["targets"]] == [
        ("kvm-a", "L0", None, True),
        ("ci-1", "L1", "kvm-a", True),
        ("ci-2", "L1", "kvm-a", True),
    ]
    assert run.document["run"]["inventory"] == str(inventory)
    assert run.outcomes("ci-1") == run.outcomes("ci-2")
    assert run.outcomes("ci-1")["PAIR-01"] == "notapplicable"
    assert_valid(run)


def test_a_guest_is_reached_through_its_hosts_connection(run: SuiteRun, machines: dict[str, Sshd]) -> None:
    """The host sees one login, and forwards for ci-1."""
    assert run.target("ci-1")["observed"]
    assert {name: machine.logins for name, machine in machines.items()} == dict.fromkeys(machines, 1)


def test_become_is_sudo_that_never_asks(run: SuiteRun, machines: dict[str, Sshd]) -> None:
    assert run.target("ci-2")["observed"]
    used = {name: (machine.directory / "sudo.log").read_text() for name, machine in machines.items()}
    assert used == {"kvm-a": "", "ci-1": "", "ci-2": "sudo -n -- /bin/sh -s\n"}


def test_the_evidence_is_judged_again_with_the_same_inventory(run: SuiteRun, inventory: Path) -> None:
    again = run_suite(
        f"--ansible-inventory={inventory}", f"--evidence={run.reports}/evidence", report_dir=inventory.parent / "again"
    )
    assert again.document["results"] == run.document["results"]
    assert [each | {"evidence": None} for each in again.document["targets"]] == [
        each | {"evidence": None} for each in run.document["targets"]
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hosts=ansible://nobody"], "--hosts matches nothing: nobody"),
        (["--hosts=ssh://kvm-a"], "it takes ansible:// and an Ansible pattern"),
        (["--inventory=inventories/local.yaml"], "both define the fleet: use one"),
        (["--hosts=ansible://all", "--level=L0"], "--level is for a run by --hosts without an inventory"),
        (["--ansible-inventory=/nonexistent"], "/nonexistent: No such file or directory"),
    ],
)
def test_what_cannot_begin_ends_with_4(inventory: Path, words: list[str], message: str) -> None:
    command = [f"--ansible-inventory={inventory}", *words]
    (refused,) = run_many([command], report_dir=inventory.parent / "refused")
    assert refused.status == 4
    assert message in refused.errors
    assert not (inventory.parent / "refused").exists()


def test_a_pattern_without_an_inventory_says_what_is_missing(tmp_path: Path) -> None:
    (refused,) = run_many([["--hosts=ansible://all"]], report_dir=tmp_path / "reports")
    assert refused.status == 4
    assert "ansible://all needs --ansible-inventory=FILE" in refused.errors


def test_hostile_variables_never_command_the_terminal(tmp_path: Path) -> None:
    hosts = {"a\x1b[2J": {}, "kvm-a": {"nested_level": "\x1b]0;title\x07", "ansible_host": "\x9b31m"}}
    path = tmp_path / "hosts"
    document = {"all": {"hosts": list(hosts)}, "_meta": {"hostvars": hosts}}
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(document)}\nEND\n")
    path.chmod(0o755)
    (refused,) = run_many([[f"--ansible-inventory={path}"]], report_dir=tmp_path / "reports")
    assert refused.status == 4
    assert {letter for letter in refused.text if not letter.isprintable()} == {"\n"}
    assert f"{path}: kvm-a: nested_level: Input should be" in refused.errors
