"""Two real SSH hosts: one connection and at most two executions each, also with a site's own check."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.guests import ssh_config
from tests.support.schema import assert_valid
from tests.support.sshd import Sshd, SshdFactory
from tests.support.suite import SuiteRun, run_suite
from tests.support.suite_copy import suite_with

pytestmark = pytest.mark.needs("sshd")

SITE_CHECK = '''\
from nested_kvm import Target


def test_the_target_answers_testinfra(host, target: Target) -> None:
    """The target answers Testinfra."""
    assert host.check_output("echo %s", target.name) == target.name
    assert host.file("/etc/passwd").exists


def test_the_target_is_no_name_server(host) -> None:
    """The target serves no names."""
    assert not host.file("/etc/passwd").exists, "it does"
'''

Machines = Mapping[str, Sshd]


@dataclass(frozen=True)
class Seen:
    """What one machine's log tells of."""

    connections: int
    logins: int
    executions: int

    def __sub__(self, before: "Seen") -> "Seen":
        return Seen(
            self.connections - before.connections, self.logins - before.logins, self.executions - before.executions
        )


@dataclass(frozen=True)
class Audit:
    """One run, and what each machine saw of it."""

    run: SuiteRun
    seen: list[Seen]


@pytest.fixture(scope="module")
def machines(start_sshd: SshdFactory) -> Machines:
    return {"kvm-a": start_sshd(), "kvm-b": start_sshd()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two-hosts")


@pytest.fixture(scope="module")
def config(machines: Machines, folder: Path) -> Path:
    return ssh_config(folder, machines)


def counts(machines: Machines) -> list[Seen]:
    return [
        Seen(machine.log.read_text().count("Connection from "), machine.logins, machine.executions)
        for machine in machines.values()
    ]


def grown(machines: Machines, before: list[Seen]) -> list[Seen]:
    return [now - then for now, then in zip(counts(machines), before, strict=True)]


@pytest.fixture(scope="module")
def audit(machines: Machines, config: Path, folder: Path) -> Audit:
    before = counts(machines)
    options = ["--hosts=ssh://kvm-a,ssh://kvm-b", f"--ssh-config={config}", "--level=L0"]
    run = run_suite(*options, report_dir=folder / "reports")
    return Audit(run, grown(machines, before))


def test_each_host_sees_one_connection_and_two_executions(audit: Audit) -> None:
    """The probe, and libvirt where libvirt-python is there to ask."""
    run, seen = audit.run, audit.seen
    asks_libvirt = run.evidence("kvm-a")["libvirt"]["means"] == "libvirt"
    assert seen == [Seen(1, 1, 2 if asks_libvirt else 1)] * 2


def test_both_hosts_are_observed_and_judged_by_every_control_of_an_l0(
    audit: Audit,
) -> None:
    run = audit.run
    assert [(each["name"], each["observed"], each["level"]) for each in run.document["targets"]] == [
        ("kvm-a", True, "L0"),
        ("kvm-b", True, "L0"),
    ]
    assert run.outcomes("kvm-a").keys() == run.outcomes("kvm-b").keys() >= {"L0-CPU-01", "L0-PER-01", "L0-LIB-01"}
    assert_valid(run)


@pytest.mark.parametrize("name", ["uname -m", "/proc/cpuinfo", "/dev/kvm", "modprobe --version"])
def test_what_was_read_is_in_the_evidence(audit: Audit, name: str) -> None:
    run = audit.run
    sources = [reading["source"] for reading in run.evidence("kvm-b")["readings"]]
    assert sources.count(name) == 1


@pytest.fixture(scope="module")
def suite(folder: Path) -> Path:
    """A checkout with a check of its own."""
    return suite_with(folder, SITE_CHECK)


@pytest.fixture(scope="module")
def site_audit(machines: Machines, config: Path, folder: Path, suite: Path) -> Audit:
    inventory = folder / "fleet.yaml"
    guests = "guests: {ci-1: {domain: ci-1}}"
    inventory.write_text(
        f"hosts:\n  kvm-a: {{level: L0, libvirt: none, {guests}}}\n  kvm-b: {{level: L0, libvirt: none}}\n"
    )
    before = counts(machines)
    options = [f"--inventory={inventory}", f"--ssh-config={config}"]
    run = run_suite(*options, report_dir=folder / "site", root=suite)
    return Audit(run, grown(machines, before))


def test_testinfra_goes_over_the_connection_that_is_there(site_audit: Audit) -> None:
    seen = site_audit.seen
    assert [(each.connections, each.logins) for each in seen] == [(1, 1)] * 2
    assert all(each.executions > 1 for each in seen), "the site's check did not run"


def test_a_sites_check_is_asked_of_every_target_with_an_address(site_audit: Audit) -> None:
    run = site_audit.run
    for name in ("kvm-a", "kvm-b"):
        assert run.outcomes(name)["SITE-test_the_target_answers_testinfra"] == "pass"
        assert run.outcomes(name)["SITE-test_the_target_is_no_name_server"] == "fail"
    assert "SITE-test_the_target_answers_testinfra" not in run.outcomes("ci-1")


def test_a_failed_assertion_is_a_finding_and_says_why(site_audit: Audit) -> None:
    run = site_audit.run
    messages = [each["message"] for each in run.document["results"] if each["control"].endswith("no_name_server")]
    assert messages
    assert all("it does" in message for message in messages)
    assert_valid(run)


def test_saved_evidence_has_no_connection_for_a_sites_check(
    site_audit: Audit, suite: Path, folder: Path, machines: Machines
) -> None:
    before = counts(machines)
    again = run_suite(f"--evidence={site_audit.run.reports}/evidence", report_dir=folder / "again", root=suite)
    assert again.outcomes("kvm-a")["SITE-test_the_target_answers_testinfra"] == "error"
    assert counts(machines) == before
