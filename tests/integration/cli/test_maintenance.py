"""`pytest -m maintenance` judges two controls, by evidence alone; and what older evidence lacks is unknown."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import read_bundle, write_bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.policy import Nested, Policy, Undeclared
from tests.support.running_machines import BUSY, HOLDERS, IDLE, NEVER, machine, ok, record, without
from tests.support.schema import problems
from tests.support.suite import SuiteRun, run_suite

REQUIRED = Policy(undeclared=Undeclared.REQUIRED)
FORBIDDEN = Policy(Nested.FORBIDDEN, undeclared=Undeclared.FORBIDDEN)


def domains() -> list[Bundle]:
    busy = record(IDLE, BUSY, name="it's; touch busy", uuid="1" * 8 + "-1111-1111-1111-" + "1" * 12)
    off = record(name="off", uuid="2" * 8 + "-2222-2222-2222-" + "2" * 12, is_running=False)
    never = record(NEVER, name="never", uuid="3" * 8 + "-3333-3333-3333-" + "3" * 12)
    idle = record(IDLE, IDLE, name="idle", uuid="4" * 8 + "-4444-4444-4444-" + "4" * 12)
    return [
        machine("kvm-a", domains=(busy, off, never, idle), policy=REQUIRED),
        machine("kvm-b", domains=(busy, off, never, idle), policy=FORBIDDEN),
    ]


def guests() -> list[Bundle]:
    def guest(name: str, holders: Reading, policy: Policy) -> Bundle:
        module = ok("/sys/module/kvm_amd", "refcnt=2\ninitstate=live\n" if holders.text else "initstate=live\n")
        return machine(name, holders, module, level=TargetLevel.L1, policy=policy)

    return [
        guest("l1-busy", ok(HOLDERS, "293\n"), REQUIRED),
        guest("l1-busy-forbidden", ok(HOLDERS, "293\n"), FORBIDDEN),
        machine("l1-idle", ok(HOLDERS, ""), ok("/sys/module/kvm_amd", "refcnt=0\n"), level=TargetLevel.L1),
        guest("l1-plain-user", Reading(HOLDERS, Status.UNREADABLE), REQUIRED),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    folder = tmp_path_factory.mktemp("maintenance")
    for bundle in [*domains(), *guests()]:
        write_bundle(folder, bundle)
    return run_suite(f"--evidence={folder}", "-m", "maintenance", report_dir=folder / "reports")


def results(run: SuiteRun, target: str) -> dict[str, dict[str, Any]]:
    return {each["subject"]: each for each in run.document["results"] if each["target"] == target}


def test_two_controls_are_judged_and_no_other(run: SuiteRun) -> None:
    assert {each["control"] for each in run.document["results"]} == {"DOM-OPS-01", "L1-OPS-01"}
    assert (run.status, run.errors) == (1, "")


@pytest.mark.parametrize("host", ["kvm-a", "kvm-b"])
def test_each_domain_has_its_answer_in_both_polarities(run: SuiteRun, host: str) -> None:
    found = results(run, host)
    assert {name: (each["outcome"], each["cause"]) for name, each in found.items()} == {
        "it's; touch busy": ("fail", "l2-running"),
        "off": ("notapplicable", None),
        "never": ("pass", None),
        "idle": ("unknown", None),
    }
    assert "idle" in found["idle"]["message"]
    assert found["it's; touch busy"]["message"] == "an L2 runs: nested_run grows"


def test_the_remedy_quotes_the_domain_and_asks_the_host_again(run: SuiteRun) -> None:
    remedy = results(run, "kvm-a")["it's; touch busy"]["remediation"]
    assert len(remedy) == 3
    assert remedy[2].startswith("virsh -r domstats --vcpu 'it'\"'\"'s; touch busy' | grep -E ")


def test_each_guest_has_its_answer(run: SuiteRun) -> None:
    found = {name: results(run, name)[name] for name in ("l1-busy", "l1-busy-forbidden", "l1-idle", "l1-plain-user")}
    outcomes = {name: each["outcome"] for name, each in found.items()}
    assert outcomes == {"l1-busy": "fail", "l1-busy-forbidden": "fail", "l1-idle": "pass", "l1-plain-user": "unknown"}
    assert found["l1-busy"]["cause"] == "l2-running"
    assert len(found["l1-busy"]["remediation"]) == 2
    assert "root" in found["l1-plain-user"]["message"]


def test_the_counters_come_back_from_a_file_that_keeps_to_its_schema(tmp_path: Path) -> None:
    written = write_bundle(tmp_path, domains()[0])
    assert problems("evidence", json.loads(written.read_text())) == []
    assert read_bundle(written) == domains()[0]


def test_an_older_file_without_them_is_still_read(tmp_path: Path) -> None:
    path = write_bundle(tmp_path, without(domains()[0], HOLDERS))
    document = json.loads(path.read_text())
    for domain in document["libvirt"]["domains"]:
        del domain["vcpu_statistics"]
    assert problems("evidence", document) == []
    path.write_text(json.dumps(document))
    older = read_bundle(path).libvirt
    newer = domains()[0].libvirt
    assert older is not None
    assert newer is not None
    assert older.domains == tuple(replace(each, vcpu_statistics=()) for each in newer.domains)
