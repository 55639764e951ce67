"""`--shard=K/N` audits one part of a fleet, and says nothing of the others."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from nested_kvm.inventory.shard import fleet_digest
from tests.support.large_fleet import write_fleet
from tests.support.recorded import record
from tests.support.schema import assert_valid
from tests.support.suite import SuiteRun, run_many, run_suite

HOSTS = [f"kvm-{number:04}" for number in range(4)]
FLEET = [*HOSTS, *(name.replace("kvm", "ci") for name in HOSTS)]
INVENTORY = """\
policy: {nested: forbidden}
hosts:
  kvm-0000: {group: rack, guests: {ci-0000: {address: 'ssh://ci-0000', nested: required}}}
  kvm-0001: {guests: {ci-0001: {}}}
  kvm-0002: {group: rack, guests: {ci-0002: {address: 'ssh://ci-0002'}}}
  kvm-0003: {guests: {ci-0003: {address: 'ssh://ci-0003'}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shard")
    write_fleet(folder / "evidence", len(HOSTS))
    (folder / "fleet.yaml").write_text(INVENTORY)
    for name in "abc":
        record(folder / "first", f"kvm-{name}", refusal="Connection refused")
    return folder


def audit(folder: Path, name: str, *words: str) -> SuiteRun:
    return run_suite(f"--evidence={folder}/evidence", *words, report_dir=folder / "reports" / name)


def names(run: SuiteRun) -> list[str]:
    return [target["name"] for target in run.document["targets"]]


@pytest.fixture(scope="module")
def shards(folder: Path) -> Mapping[int, SuiteRun]:
    return {number: audit(folder, f"{number}-of-2", f"--shard={number}/2") for number in (1, 2)}


def test_they_are_the_fleet(shards: Mapping[int, SuiteRun]) -> None:
    assert Counter(name for run in shards.values() for name in names(run)) == Counter(FLEET)
    assert {number: len(names(run)) for number, run in shards.items()} == {1: 4, 2: 4}


def test_each_says_what_it_is(shards: Mapping[int, SuiteRun]) -> None:
    for number, run in shards.items():
        assert run.document["run"]["shard"] == {"number": number, "of": 2, "fleet": fleet_digest(FLEET)}
        assert run.document["run"]["complete"] is True
        assert_valid(run)


def test_a_run_that_is_none_says_so_and_what_was_required(folder: Path) -> None:
    run = audit(folder, "whole", f"--inventory={folder}/fleet.yaml", "--hosts=*-0000,*-0001")
    assert run.document["run"]["shard"] is None
    effective = {"persistence": "effective", "undeclared": "any"}
    assert {target["name"]: target["policy"] for target in run.document["targets"]} == {
        "kvm-0000": {"nested": "forbidden", **effective},
        "ci-0000": {"nested": "required", **effective},
        "kvm-0001": {"nested": "forbidden", **effective},
        "ci-0001": {"nested": "forbidden", **effective},
    }
    assert_valid(run)


def test_a_group_stays_together_with_its_guests(folder: Path) -> None:
    run = audit(folder, "grouped", f"--inventory={folder}/fleet.yaml", "--shard=1/2")
    assert names(run) == ["kvm-0000", "ci-0000", "kvm-0002", "ci-0002"]
    compared = [each for each in run.document["results"] if each["control"] == "PAIR-02"]
    assert {each["outcome"] for each in compared} != {"notapplicable"}


def test_what_hosts_chose_is_split(folder: Path) -> None:
    words = [f"--inventory={folder}/fleet.yaml", "--hosts=kvm-000[013],ci-0003"]
    runs = [audit(folder, f"chosen-{number}", *words, f"--shard={number}/3") for number in (1, 2, 3)]
    assert [names(run) for run in runs] == [["kvm-0000", "ci-0000"], ["kvm-0001", "ci-0001"], ["kvm-0003", "ci-0003"]]
    chosen = [name for run in runs for name in names(run)]
    assert {run.document["run"]["shard"]["fleet"] for run in runs} == {fleet_digest(chosen)}


def test_hosts_without_an_inventory_are_split(folder: Path) -> None:
    words = ["--hosts=ssh://a,ssh://b,ssh://c", "--level=L0", "--collect-only"]
    first, second = (
        run_suite(*words, f"--shard={number}/2", report_dir=folder / "reports" / "listed") for number in (1, 2)
    )
    assert {name for name in "abc" if f"[{name}]" in first.output} == {"a", "c"}
    assert {name for name in "abc" if f"[{name}]" in second.output} == {"b"}


@pytest.mark.needs("ansible-inventory")
def test_an_ansible_inventory_is_split(folder: Path) -> None:
    path = folder / "estate.ini"
    hosts = "".join(f"{name} nested_level=L0\n" for name in HOSTS)
    guests = "".join(f"{name.replace('kvm', 'ci')} nested_host={name}\n" for name in HOSTS)
    path.write_text(f"[kvm]\n{hosts}[guests]\n{guests}")
    words = [f"--ansible-inventory={path}", "--hosts=ansible://all"]
    runs = [audit(folder, f"ansible-{number}", *words, f"--shard={number}/3") for number in (1, 2, 3)]
    assert Counter(name for run in runs for name in names(run)) == Counter(FLEET)
    assert all(
        {target["host"] for target in run.document["targets"]} <= {None, *names(run)} and names(run) for run in runs
    )


def test_a_domain_is_tried_on_the_hosts_of_the_part(folder: Path) -> None:
    (folder / "new.xml").write_text(
        "<domain type='kvm'><name>new</name><cpu mode='host-passthrough'/>"
        "<os><type arch='x86_64'>hvm</type></os></domain>"
    )
    run = audit(folder, "domain", f"--domain-xml={folder}/new.xml", "--shard=2/4")
    assert names(run) == ["kvm-0001"]
    assert run.document["run"]["shard"]["fleet"] == fleet_digest(HOSTS)


def test_nothing_is_said_of_what_others_hold(folder: Path) -> None:
    """No waiver is stale and no finding is gone, because another controller looks at it."""
    waivers = folder / "waivers.yaml"
    signed = {"reason": "known", "approver": "ops", "permanent": True}
    entries = [{"control": "L0-CPU-01", "target": target, **signed} for target in ("kvm-a", "kvm-b", "kvm-z")]
    waivers.write_text(json.dumps({"waivers": entries}))
    first = run_suite(f"--evidence={folder}/first", report_dir=folder / "reports" / "first")
    words = [f"--waivers={waivers}", f"--baseline={first.reports}/results.json", "--shard=1/3"]
    run = run_suite(f"--evidence={folder}/first", *words, report_dir=folder / "reports" / "first-1")
    assert names(run) == ["kvm-a"]
    states = [use["state"] for use in run.document["waivers"]]
    assert states == ["stale-control-passes", "unjudged", "stale-matches-nothing"]
    drift = run.document["drift"]
    assert {each["target"] for each in drift["unjudged"]} == {"kvm-b", "kvm-c"}
    assert (drift["persisting"], drift["fixed"], drift["gone"], drift["vanished"]) == (1, [], [], [])


REFUSED = {
    "9/9": "--shard=9/9 is empty: ",
    "5/4": "--shard=5/4 is not a valid shard: write --shard=K/N",
    "0/4": "--shard=0/4 is not a valid shard",
    "two": "--shard=two is not a valid shard",
}


def test_what_is_no_part_of_the_fleet_is_wrong_usage(folder: Path) -> None:
    words = [[f"--evidence={folder}/evidence", f"--shard={shard}"] for shard in REFUSED]
    runs = run_many(words, report_dir=folder / "refused")
    assert [run.status for run in runs] == [4] * len(runs)
    assert [reason for reason, run in zip(REFUSED.values(), runs, strict=True) if reason not in run.errors] == []
    assert "split it into 4 or fewer, on every controller" in runs[0].errors
    assert not (folder / "refused").exists()
