"""A guarded policy in the other places where a policy counts: a candidate, a merge, severities."""

import json
from pathlib import Path

import pytest

from nested_kvm.merging.merge import merged_run
from nested_kvm.merging.stored_results import StoredResults
from tests.support.exposed_hosts import recorded_hosts, write_advisories, write_fleet
from tests.support.scenario import scenarios
from tests.support.scenario_fleet import run_fleet
from tests.support.suite import SuiteRun, run_suite

CANDIDATE = "<domain type='kvm'><name>new</name><cpu mode='host-passthrough'/></domain>"


def gate(folder: Path, host: str, *, is_on: bool, nested: str) -> SuiteRun:
    inventory, evidence = write_fleet(folder, "required", is_on=is_on)
    xml = folder / "new.xml"
    xml.write_text(CANDIDATE)
    return run_suite(
        f"--inventory={inventory}",
        f"--evidence={evidence}",
        f"--advisories={write_advisories(folder)}",
        f"--hosts={host}",
        f"--domain-xml={xml}",
        f"--nested={nested}",
        "--gate",
        "--max-age=3650d",
        report_dir=folder / "reports",
    )


@pytest.mark.parametrize(
    ("host", "status"), [("debian-fixed", 0), ("debian-vulnerable", 1), ("fedora-unknown", 1)], ids=str
)
def test_a_guarded_candidate_may_have_the_flag_only_on_a_fixed_kernel(tmp_path: Path, host: str, status: int) -> None:
    run = gate(tmp_path, host, is_on=True, nested="guarded")
    assert run.status == status, run.text[-2000:]
    assert "L0-SEC-03" in {result["control"] for result in run.document["results"]}


def test_a_candidate_that_is_not_guarded_is_not_asked_of_the_kernel(tmp_path: Path) -> None:
    run = gate(tmp_path, "debian-vulnerable", is_on=True, nested="required")
    assert run.status == 0, run.text[-2000:]
    assert "L0-SEC-03" not in {result["control"] for result in run.document["results"]}


def test_a_merge_keeps_every_hosts_exposure(tmp_path: Path) -> None:
    inventory, evidence = write_fleet(tmp_path, "guarded", is_on=True)
    arguments = (f"--inventory={inventory}", f"--evidence={evidence}", f"--advisories={write_advisories(tmp_path)}")
    shards = [run_suite(*arguments, f"--shard={k}/2", report_dir=tmp_path / f"shard-{k}") for k in (1, 2)]
    merged = merged_run([shard.reports for shard in shards], StoredResults(), lambda _: None)
    assert [each.target for each in merged.exposures] == sorted(recorded_hosts())
    assert {each.target: each.state for each in merged.exposures} == {
        name: host["state"] for name, host in recorded_hosts().items()
    }
    assert merged.advisories_dated is not None
    again = run_suite(*(f"--merge={shard.reports}" for shard in shards), report_dir=tmp_path / "merged")
    assert json.dumps(again.document["exposures"]) == json.dumps(
        sorted((each for shard in shards for each in shard.document["exposures"]), key=lambda each: each["target"])
    )


def test_an_open_device_is_of_severity_high_on_an_exposed_host(tmp_path: Path) -> None:
    names = ("amd-escape-open-device-open-to-all", "amd-dev-kvm-world-accessible")
    run = run_fleet(tmp_path, cases={name: scenarios()[name] for name in names})
    severities = [run.results[name]["", "L0-KVM-02"]["severity"] for name in names]
    assert severities == ["high", "medium"]
