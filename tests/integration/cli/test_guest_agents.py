"""A run over guests that are reached by their agents, beside the same guest reached by SSH."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guest_agent import AgentSite, start_guest, start_site
from tests.support.guests import ssh_config
from tests.support.schema import assert_valid
from tests.support.sshd import Sshd, SshdFactory
from tests.support.suite import SuiteRun, run_suite

pytestmark = pytest.mark.needs("sshd", "accounts", "qemu-ga")

INVENTORY = """\
policy: {nested: forbidden}
hosts:
  kvm-a:
    address: ssh://kvm-a
    guests:
      by-agent: {domain: ci-1, address: agent}
      closed: {address: agent}
      deaf: {address: agent}
      by-ssh: {domain: ci-1, address: 'ssh://by-ssh'}
"""


@pytest.fixture(scope="module")
def site(start_sshd: SshdFactory) -> AgentSite:
    return start_site(start_sshd)


@pytest.fixture(scope="module")
def guest(start_sshd: SshdFactory, site: AgentSite) -> Sshd:
    start_guest(start_sshd, site, "closed", "-b", "guest-exec")
    site.add_refusal("deaf", "Guest agent is not responding: QEMU guest agent is not connected")
    return start_guest(start_sshd, site, "ci-1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, site: AgentSite, guest: Sshd) -> Path:
    folder = tmp_path_factory.mktemp("agents")
    ssh_config(folder, {"kvm-a": site.host, "by-ssh": guest})
    (folder / "fleet.yaml").write_text(INVENTORY)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path, site: AgentSite) -> Iterator[SuiteRun]:
    before = site.host.logins
    options = [f"--inventory={folder}/fleet.yaml", f"--ssh-config={folder}/ssh_config"]
    yield run_suite(*options, report_dir=folder / "reports")
    assert site.host.logins == before + 1


def of_the_guest(run: SuiteRun, name: str) -> dict[str, str]:
    return {control: outcome for control, outcome in run.outcomes(name).items() if control.startswith("L1-")}


def test_a_guest_without_account_or_network_is_judged_as_by_ssh(run: SuiteRun) -> None:
    assert of_the_guest(run, "by-agent") == of_the_guest(run, "by-ssh")
    assert of_the_guest(run, "by-agent")["L1-CPU-01"] == "pass"
    sources = [[each["source"] for each in run.evidence(name)["readings"]] for name in ("by-agent", "by-ssh")]
    assert set(sources[0]) == set(sources[1])
    assert run.target("by-agent")["observed"]


def test_where_commands_are_disabled_the_outcome_is_unknown(run: SuiteRun) -> None:
    assert set(of_the_guest(run, "closed").values()) == {"unknown", "notapplicable"}
    (message,) = {
        each["message"]
        for each in run.document["results"]
        if each["target"] == "closed" and each["outcome"] == "unknown"
    }
    assert message.startswith("closed: its guest agent runs no commands")
    assert "/etc/qemu/qemu-ga.conf" in message
    assert not run.target("closed")["observed"]


def test_an_agent_that_is_not_there_is_an_error_with_the_remedy(run: SuiteRun) -> None:
    assert set(of_the_guest(run, "deaf").values()) == {"error", "notapplicable"}
    assert "systemctl enable --now qemu-guest-agent" in run.target("deaf")["error"]


def test_a_gate_blocks_what_is_unknown(run: SuiteRun, folder: Path) -> None:
    gate = run_suite(
        "--gate", f"--evidence={run.reports}/evidence", "--hosts=by-ssh,closed", report_dir=folder / "gate"
    )
    assert gate.status == 1
    assert of_the_guest(gate, "closed") == of_the_guest(run, "closed")
    assert any(line.startswith("closed  BLOCK  L1-CPU-01 ") for line in gate.output.splitlines())


def test_every_file_of_such_a_run_is_valid(run: SuiteRun) -> None:
    assert_valid(run)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hosts:\n  kvm-a: {address: agent}\n", "fleet.yaml:2: hosts.kvm-a.address: `agent` reaches a guest"),
        (None, "--hosts: `agent` reaches a guest through its host"),
    ],
)
def test_an_agent_is_no_way_to_a_host(tmp_path: Path, text: str | None, reason: str) -> None:
    (tmp_path / "fleet.yaml").write_text(text or "")
    option = "--hosts=agent" if text is None else f"--inventory={tmp_path}/fleet.yaml"
    run = run_suite(option, report_dir=tmp_path / "reports")
    assert run.status == 4
    assert reason in " ".join(run.text.split())
