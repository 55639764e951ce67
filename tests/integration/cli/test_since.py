"""An incremental audit inspects what can have changed; of all else it evaluates the evidence of an earlier run."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.evidence.since import earlier_run
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.results.incremental import TargetDigest
from tests.support.guests import ssh_config
from tests.support.living_host import LivingHost, start_host
from tests.support.schema import assert_valid
from tests.support.signing import allow, make_key
from tests.support.sshd import SshdFactory
from tests.support.suite import SuiteRun, run_suite
from tests.support.suite_copy import suite_with

pytestmark = [pytest.mark.needs("sshd"), pytest.mark.needs("accounts"), pytest.mark.needs("kmod")]

SETTLED = 4.5
"""Seconds after which no file counts as just changed."""
FORBIDDEN = "policy: {nested: forbidden}\n"
LIVE_CHECK = '''\
def test_the_target_has_no_motd(host) -> None:
    """The target has no message of the day."""
    assert not host.file("/run/incus/motd").exists
'''


@dataclass
class Fleet:
    """Two hosts, their inventory, and the first run with `--since`."""

    hosts: Mapping[str, LivingHost]
    folder: Path

    @property
    def inventory(self) -> Path:
        return self.folder / "fleet.yaml"

    def declare(self, more: str = "") -> None:
        lines = [f"  {name}: {{address: 'ssh://{name}', libvirt: none}}\n" for name in self.hosts]
        self.inventory.write_text(f"{more}hosts:\n{''.join(lines)}")

    def audit(self, since: Path | None, *words: object, root: Path | None = None) -> SuiteRun:
        options: list[object] = [f"--inventory={self.inventory}", f"--ssh-config={self.folder}/ssh_config", *words]
        options += [] if since is None else [f"--since={since}"]
        where = {} if root is None else {"root": root}
        return run_suite(*options, report_dir=self.folder / "reports", **where)

    @contextmanager
    def executions(self) -> Iterator[dict[str, int]]:
        """Count the executions on each host."""
        before = {name: host.sshd.executions for name, host in self.hosts.items()}
        found: dict[str, int] = {}
        yield found
        found |= {name: host.sshd.executions - before[name] for name, host in self.hosts.items()}


@pytest.fixture(scope="module")
def fleet(start_sshd: SshdFactory, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("since")
    for each in (folder, *folder.parents[:3]):
        each.chmod(0o755)
    hosts = {}
    for name in ("kvm-a", "kvm-b"):
        (folder / name).mkdir()
        hosts[name] = start_host(start_sshd, folder / name)
    config = ssh_config(folder, {name: host.sshd for name, host in hosts.items()})
    config.write_text(config.read_text().replace("User plain", "User root"))
    fleet = Fleet(hosts, folder)
    fleet.declare()
    time.sleep(SETTLED)
    return fleet


@dataclass
class Earlier:
    """The first run with `--since`, which has digests; each test has its own copy."""

    first: SuiteRun
    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results.json"

    def edit(self, name: str, /, **values: object) -> None:
        """Change what its results.json has of a target."""
        document = json.loads(self.results.read_text())
        next(each for each in document["targets"] if each["name"] == name).update(values)
        self.results.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def taken(fleet: Fleet) -> tuple[SuiteRun, SuiteRun]:
    """An ordinary run, and one with `--since` that."""
    plain = fleet.audit(None)
    with_digests = fleet.audit(plain.reports / "results.json")
    kept = fleet.folder / "first"
    shutil.copytree(with_digests.reports, kept)
    return SuiteRun(plain.status, plain.output, plain.errors, kept), with_digests


@pytest.fixture
def earlier(fleet: Fleet, taken: tuple[SuiteRun, SuiteRun], tmp_path: Path) -> Earlier:
    shutil.copytree(fleet.folder / "first", tmp_path / "run")
    return Earlier(taken[1], tmp_path / "run")


def reasons(run: SuiteRun) -> dict[str, str | None]:
    return {each["name"]: each["incremental"]["reason"] for each in run.document["targets"]}


def test_an_ordinary_run_takes_no_digest_and_the_first_with_since_asks_everything(
    taken: tuple[SuiteRun, SuiteRun],
) -> None:
    run = taken[1]
    assert set(reasons(run).values()) == {"there is no digest of it in the earlier run"}
    assert "inspected again, there is no digest of it in the earlier run: kvm-a, kvm-b" in run.output
    assert all(each["incremental"]["digest"] for each in run.document["targets"])
    assert run.status == 0
    assert_valid(run)


def test_unchanged_targets_have_one_execution_and_every_report_says_so(fleet: Fleet, earlier: Earlier) -> None:
    with fleet.executions() as executions:
        run = fleet.audit(earlier.results)
    assert executions == {"kvm-a": 1, "kvm-b": 1}
    assert reasons(run) == {"kvm-a": None, "kvm-b": None}
    before = {each["name"]: each for each in json.loads(earlier.results.read_text())["targets"]}
    for name in ("kvm-a", "kvm-b"):
        found = run.target(name)
        assert found["observed_at"] == before[name]["observed_at"]
        assert found["incremental"]["digest"] == before[name]["incremental"]["digest"]
        since = datetime.fromisoformat(found["observed_at"]).strftime("%Y-%m-%d %H:%M:%S UTC")
        assert f"{name}: not inspected again: unchanged since {since}" in run.text
    assert "2 targets not inspected again: unchanged since" in run.output
    assert run.html.count("<strong>not inspected again</strong>: unchanged since then") == 2
    assert "2 targets not inspected again" in (run.reports / "summary.md").read_text()
    assert run.document["results"] == json.loads(earlier.results.read_text())["results"]
    assert run.status == 0
    assert_valid(run)


def test_a_third_run_in_a_chain_keeps_the_time_of_the_first(fleet: Fleet, earlier: Earlier) -> None:
    second = fleet.audit(earlier.results)
    third = fleet.audit(second.reports / "results.json")
    assert reasons(third) == {"kvm-a": None, "kvm-b": None}
    assert third.target("kvm-a")["observed_at"] == earlier.first.target("kvm-a")["observed_at"]


def test_only_the_target_that_changed_is_inspected_again(fleet: Fleet, earlier: Earlier) -> None:
    parameter = "/sys/module/kvm_amd/parameters/nested"
    fleet.hosts["kvm-b"].write(parameter, "0\n")
    try:
        with fleet.executions() as executions:
            run = fleet.audit(earlier.results)
    finally:
        fleet.hosts["kvm-b"].write(parameter, "1\n")
    assert executions == {"kvm-a": 1, "kvm-b": 2}
    assert reasons(run) == {"kvm-a": None, "kvm-b": "changed: KVM"}
    assert run.outcomes("kvm-b")["L0-KVM-04"] == "fail"
    assert run.status == 1


def test_everything_is_evaluated_by_todays_policy(fleet: Fleet, earlier: Earlier) -> None:
    fleet.declare(FORBIDDEN)
    try:
        with fleet.executions() as executions:
            run = fleet.audit(earlier.results)
    finally:
        fleet.declare()
    assert executions == {"kvm-a": 1, "kvm-b": 1}
    assert run.outcomes("kvm-a")["L0-KVM-04"] == "fail"
    assert run.status == 1


def test_a_check_with_host_asks_the_target_itself(fleet: Fleet, earlier: Earlier, tmp_path: Path) -> None:
    root = suite_with(tmp_path, LIVE_CHECK)
    fleet.hosts["kvm-a"].write("/run/incus/motd", "hello\n")
    try:
        run = fleet.audit(earlier.results, root=root)
    finally:
        fleet.hosts["kvm-a"].path("/run/incus/motd").unlink()
    found = {each["target"]: each["outcome"] for each in run.document["results"] if each["control"].startswith("SITE-")}
    assert found == {"kvm-a": "fail", "kvm-b": "pass"}


def test_old_evidence_is_read_again(fleet: Fleet, earlier: Earlier) -> None:
    path = earlier.folder / "evidence" / "kvm-a.json"
    document = json.loads(path.read_text())
    document["observed"] = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    path.write_text(json.dumps(document))
    entry = json.loads(earlier.results.read_text())
    target = next(each for each in entry["targets"] if each["name"] == "kvm-a")
    earlier.edit("kvm-a", evidence={**target["evidence"], "sha256": sha256_of(path)})
    with fleet.executions() as executions:
        run = fleet.audit(earlier.results)
    assert reasons(run) == {"kvm-a": "its evidence is older than --max-age allows", "kvm-b": None}
    assert executions == {"kvm-a": 2, "kvm-b": 1}
    assert reasons(fleet.audit(earlier.results, "--max-age=2d")) == {"kvm-a": None, "kvm-b": None}


def sha256_of(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def test_a_target_under_another_address_is_inspected_again(fleet: Fleet, earlier: Earlier) -> None:
    fleet.inventory.write_text(fleet.inventory.read_text().replace("ssh://kvm-b", "ssh://kvm-b?timeout=30"))
    try:
        run = fleet.audit(earlier.results)
    finally:
        fleet.declare()
    assert reasons(run) == {"kvm-a": None, "kvm-b": "changed: tool and inventory"}


def test_two_targets_do_not_take_each_others_evidence(fleet: Fleet, earlier: Earlier) -> None:
    """Even where the file of one is put in place of the other's, with its digest."""
    document = json.loads(earlier.results.read_text())
    a, b = (next(each for each in document["targets"] if each["name"] == name) for name in ("kvm-a", "kvm-b"))
    shutil.copy(earlier.folder / "evidence" / "kvm-b.json", earlier.folder / "evidence" / "kvm-a.json")
    a["evidence"]["sha256"] = b["evidence"]["sha256"]
    earlier.results.write_text(json.dumps(document))
    assert reasons(fleet.audit(earlier.results)) == {"kvm-a": "its evidence is not whole", "kvm-b": None}


def test_evidence_that_was_changed_or_removed_is_not_taken(fleet: Fleet, earlier: Earlier) -> None:
    path = earlier.folder / "evidence" / "kvm-a.json"
    path.write_text(path.read_text().replace("nested=1", "nested=0"))
    (earlier.folder / "evidence" / "kvm-b.json").unlink()
    found = reasons(fleet.audit(earlier.results))
    assert "was changed after its run" in str(found["kvm-a"])
    assert "cannot be read" in str(found["kvm-b"])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"incremental": None}, "there is no digest of it in the earlier run"),
        ({"incremental": {"digest": None, "reason": "x"}}, "there is no digest of it in the earlier run"),
        ({"incremental": {"digest": {"boot": "0" * 64}, "reason": None}}, "changed: KVM, accounts, boot, files"),
        ({"observed": False, "error": "unreachable"}, "the earlier run did not inspect it"),
        ({"evidence": None}, "its evidence is not beside the earlier run's results"),
        ({"name": "kvm-c"}, "the earlier run did not inspect it"),
    ],
)
def test_a_target_of_which_nothing_is_shown_is_inspected_again(
    fleet: Fleet, earlier: Earlier, values: dict[str, Any], reason: str
) -> None:
    earlier.edit("kvm-a", **values)
    found = reasons(fleet.audit(earlier.results))
    assert str(found["kvm-a"]).startswith(reason)
    assert found["kvm-b"] is None


def test_evidence_of_another_folder_is_never_read(fleet: Fleet, earlier: Earlier) -> None:
    document = json.loads(earlier.results.read_text())
    found = next(each for each in document["targets"] if each["name"] == "kvm-a")["evidence"]
    shutil.copy(earlier.folder / "evidence" / "kvm-a.json", earlier.folder.parent / "kvm-a.json")
    earlier.edit("kvm-a", evidence={**found, "file": "../kvm-a.json"})
    assert reasons(fleet.audit(earlier.results))["kvm-a"] == "its evidence is not beside the earlier run's results"


@pytest.mark.parametrize("outcome", ["error", "unknown"])
def test_a_target_with_something_undecided_is_inspected_again(fleet: Fleet, earlier: Earlier, outcome: str) -> None:
    document = json.loads(earlier.results.read_text())
    next(each for each in document["results"] if each["target"] == "kvm-a")["outcome"] = outcome
    earlier.results.write_text(json.dumps(document))
    assert reasons(fleet.audit(earlier.results)) == {
        "kvm-a": "the earlier run had an error or an unknown there",
        "kvm-b": None,
    }


def test_of_a_run_that_was_not_complete_nothing_is_taken(fleet: Fleet, earlier: Earlier) -> None:
    document = json.loads(earlier.results.read_text())
    document["run"]["complete"] = False
    earlier.results.write_text(json.dumps(document))
    assert set(reasons(fleet.audit(earlier.results)).values()) == {"the earlier run was not complete"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"schema": "nested-kvm-compliance/results/1"', '"schema": "nested-kvm-compliance/results/2"', "is of schema"),
        ('"level": "L0"', '"level": "L7"', "targets.0.level"),
        ('"outcome": "pass"', '"outcome": "passed"', "outcome"),
        ('"name": "kvm-b"', '"name": "kvm-a"', "has kvm-a a second time"),
        ('"diagnoses"', '"diagnosed"', "diagnosed"),
        ('"results": [', '"results": ]', "JSON"),
    ],
)
def test_a_broken_file_is_refused_before_any_target_is_connected_to(
    fleet: Fleet, earlier: Earlier, old: str, new: str, words: str
) -> None:
    text = earlier.results.read_text()
    assert old in text
    earlier.results.write_text(text.replace(old, new, 1))
    before = [host.sshd.logins for host in fleet.hosts.values()]
    run = fleet.audit(earlier.results)
    assert run.status == 4
    assert f"--since: {earlier.results}: " in run.errors
    assert words in run.errors
    assert "or leave out --since to inspect every target" in run.errors
    assert [host.sshd.logins for host in fleet.hosts.values()] == before


def test_a_link_that_moves_to_another_run_meanwhile_changes_nothing(earlier: Earlier, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(earlier.folder)
    names = frozenset({"kvm-a", "kvm-b"})
    run, read = earlier_run(link, timedelta(days=1), names, None)
    link.unlink()
    link.symlink_to(tmp_path / "another")
    digest = TargetDigest(earlier.first.target("kvm-a")["incremental"]["digest"])
    target = Target("kvm-a", TargetLevel.L0, None, Policy())
    assert run.evidence_of(target, digest, datetime.now(UTC)).readings
    assert read.file == str(link / "results.json")


def test_a_missing_file_and_one_of_another_fleet_are_refused(fleet: Fleet, earlier: Earlier) -> None:
    run = fleet.audit(earlier.folder / "nothing.json")
    assert (run.status, "nothing.json: No such file" in run.errors) == (4, True)
    earlier.edit("kvm-a", name="x-1")
    earlier.edit("kvm-b", name="x-2")
    run = fleet.audit(earlier.results)
    assert run.status == 4
    assert "is of another fleet: it has none of these targets (it has x-1, x-2)" in run.errors


def test_where_signatures_are_required_it_needs_one(fleet: Fleet, earlier: Earlier, tmp_path: Path) -> None:
    key = make_key(tmp_path)
    signers = allow(tmp_path, key)
    run = fleet.audit(earlier.results, f"--allowed-signers={signers}")
    assert (run.status, "is not signed" in run.errors) == (4, True)
    signed = fleet.audit(earlier.results, f"--sign-with={key}").reports.resolve() / "results.json"
    assert reasons(fleet.audit(signed, f"--allowed-signers={signers}")) == {"kvm-a": None, "kvm-b": None}
    signed.write_text(signed.read_text().replace('"complete": true', '"complete":  true'))
    run = fleet.audit(signed, f"--allowed-signers={signers}")
    assert (run.status, "results.json is not the one that" in run.errors) == (4, True)


def test_a_gate_takes_it_only_where_it_is_asked_for_by_name(fleet: Fleet, earlier: Earlier) -> None:
    for gate in ("--gate", "--nagios"):
        run = fleet.audit(earlier.results, gate)
        assert run.status == (4 if gate == "--gate" else 3)
        assert f"{gate} decides on what is so now" in run.text
        assert "--since-in-gate" in run.text
    run = fleet.audit(earlier.results, "--gate", "--since-in-gate")
    assert run.status == 0
    lines = [line for line in run.output.splitlines() if line.startswith(("kvm-a  PASS", "kvm-b  PASS"))]
    assert len(lines) == 2
    assert all("not inspected again: unchanged since" in line for line in lines)
    assert fleet.audit(earlier.results, "--since-in-gate").status == 4


@pytest.mark.parametrize("words", ["--active", "--candidate=x.xml", "--evidence=x", "-mmaintenance", "--domain-xml=x"])
def test_it_is_refused_beside_what_no_digest_can_show(fleet: Fleet, earlier: Earlier, words: str) -> None:
    run = fleet.audit(earlier.results, words)
    assert run.status == 4
    assert "--since does not go with" in run.errors


def test_a_merged_run_says_what_was_not_inspected_again(fleet: Fleet, earlier: Earlier) -> None:
    run = fleet.audit(earlier.results)
    merged = run_suite(f"--merge={run.reports.resolve()}", report_dir=fleet.folder / "merged")
    assert "2 targets not inspected again: unchanged since" in merged.output
    assert merged.target("kvm-a")["incremental"] == run.target("kvm-a")["incremental"]
    for gate in ("--gate", "--nagios"):
        refused = run_suite(f"--merge={run.reports.resolve()}", gate, report_dir=fleet.folder / "refused")
        assert refused.status == (4 if gate == "--gate" else 3)
        assert f"{gate} decides on what is so now" in refused.text
        assert "2 targets not inspected again: unchanged since" in refused.text
        words = (f"--merge={run.reports.resolve()}", gate, "--since-in-gate")
        assert run_suite(*words, report_dir=fleet.folder / "allowed").status == 0
    again = fleet.audit(merged.reports / "results.json")
    assert set(reasons(again).values()) == {"its evidence is not beside the earlier run's results"}
