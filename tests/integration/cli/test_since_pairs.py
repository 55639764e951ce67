"""An unchanged guest is evaluated with what its host is now, and an unchanged host with its guest."""

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.cli.test_since import SETTLED
from tests.support.guests import ssh_config
from tests.support.living_host import LivingHost, start_host
from tests.support.sshd import SshdFactory
from tests.support.suite import SuiteRun, run_suite

pytestmark = [pytest.mark.needs("sshd"), pytest.mark.needs("accounts"), pytest.mark.needs("kmod")]

INVENTORY = """\
hosts:
  kvm-a:
    address: ssh://kvm-a
    libvirt: none
    guests:
      ci-1: {address: 'ssh://ci-1'}
"""


@dataclass(frozen=True)
class Audited:
    """One run, and where its results stay."""

    run: SuiteRun
    results: Path

    @property
    def why_inspected(self) -> dict[str, str | None]:
        return {each["name"]: each["incremental"]["reason"] for each in self.run.document["targets"]}

    def nests(self, name: str) -> str:
        return str(next(each["now"] for each in self.run.document["answers"] if each["target"] == name))


@dataclass(frozen=True)
class Pair:
    host: LivingHost
    guest: LivingHost
    folder: Path

    def audit(self, since: Audited | None) -> Audited:
        words = [f"--inventory={self.folder}/fleet.yaml", f"--ssh-config={self.folder}/ssh_config"]
        words += [] if since is None else [f"--since={since.results}"]
        run = run_suite(*words, report_dir=self.folder / "reports")
        assert run.document
        return Audited(run, run.reports.resolve() / "results.json")


@pytest.fixture(scope="module")
def pair(start_sshd: SshdFactory, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    for each in (folder, *folder.parents[:3]):
        each.chmod(0o755)
    machines = {}
    for name in ("kvm-a", "ci-1"):
        (folder / name).mkdir()
        machines[name] = start_host(start_sshd, folder / name)
    machines["ci-1"].become_guest()
    machines["kvm-a"].run_guest("ci-1")
    config = ssh_config(folder, {name: machine.sshd for name, machine in machines.items()})
    config.write_text(config.read_text().replace("User plain", "User root"))
    (folder / "fleet.yaml").write_text(INVENTORY)
    time.sleep(SETTLED)
    return Pair(machines["kvm-a"], machines["ci-1"], folder)


@pytest.fixture(scope="module")
def earlier(pair: Pair) -> Audited:
    """A run of which nothing has changed."""
    found = pair.audit(pair.audit(None))
    assert (found.nests("kvm-a"), found.nests("ci-1")) == ("yes", "yes")
    assert pair.audit(found).why_inspected == {"kvm-a": None, "ci-1": None}
    return found


def test_an_unchanged_guest_cannot_nest_where_its_host_no_longer_lets_it(pair: Pair, earlier: Audited) -> None:
    parameter = "/sys/module/kvm_amd/parameters/nested"
    pair.host.write(parameter, "0\n")
    try:
        found = pair.audit(earlier)
    finally:
        pair.host.write(parameter, "1\n")
    assert found.why_inspected == {"kvm-a": "changed: KVM", "ci-1": None}
    assert (found.nests("kvm-a"), found.nests("ci-1")) == ("no", "no")
    diagnosis = next(each for each in found.run.document["diagnoses"] if each["target"] == "ci-1")
    assert diagnosis["cause"] == "nested-off"


def test_a_guest_that_changed_is_evaluated_with_its_unchanged_host(pair: Pair, earlier: Audited) -> None:
    pair.guest.within("chmod 600 /dev/kvm")
    try:
        found = pair.audit(earlier)
    finally:
        pair.guest.within("chmod 660 /dev/kvm")
    assert found.why_inspected["kvm-a"] is None
    assert found.why_inspected["ci-1"] is not None
    assert found.run.target("ci-1")["observed_at"] > earlier.run.target("ci-1")["observed_at"]
    assert found.nests("kvm-a") == "yes"
