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
from tests.support.suite_copy import suite_with

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


UNUSED = ok("/sys/module/kvm_amd", "refcnt=0\ninitstate=live\n")
IN_USE = ok("/sys/module/kvm_amd", "refcnt=1\ninitstate=live\n")
WITHOUT_A_VM = {
    "nothing runs": ((UNUSED, ok(HOLDERS, "")), "pass", 0),
    "a VM is held": ((IN_USE, ok(HOLDERS, "293\n")), "unknown", 1),
    "the module is in use": ((IN_USE, ok(HOLDERS, "")), "unknown", 1),
    "processes are hidden": ((IN_USE, Reading(HOLDERS, Status.UNREADABLE)), "unknown", 1),
    "another hypervisor is loaded": ((UNUSED, ok("/sys/module", "kvm\nkvm_amd\nvboxdrv")), "unknown", 1),
}


@pytest.mark.parametrize("name", WITHOUT_A_VM)
def test_a_host_without_a_domain_is_asked_itself(tmp_path: Path, name: str) -> None:
    """An operator asks before a reboot whether anything would end; no domain at all is an answer, and not silence."""
    readings, outcome, status = WITHOUT_A_VM[name]
    (tmp_path / "evidence").mkdir()
    write_bundle(tmp_path / "evidence", machine("kvm-z", *readings, domains=(), policy=REQUIRED))
    asked = run_suite(f"--evidence={tmp_path}/evidence", "-m", "maintenance", "--gate", report_dir=tmp_path / "reports")
    (found,) = asked.document["results"]
    assert (found["control"], found["outcome"], asked.status) == ("DOM-OPS-01", outcome, status)
    assert ("kvm-z  PASS" in asked.output) is (status == 0)


def test_a_host_without_a_domain_does_not_block_the_others(tmp_path: Path) -> None:
    never = record(NEVER, name="never")
    (tmp_path / "evidence").mkdir()
    for name, domains in ("kvm-y", (never,)), ("kvm-z", ()):
        write_bundle(tmp_path / "evidence", machine(name, UNUSED, ok(HOLDERS, ""), domains=domains, policy=REQUIRED))
    words = [f"--evidence={tmp_path}/evidence", "-m", "maintenance"]
    gate = run_suite(*words, "--gate", report_dir=tmp_path / "gate")
    assert (gate.status, gate.document["run"]["complete"]) == (0, True)
    assert {each["subject"] for each in gate.document["results"]} == {"never", "kvm-z"}
    nagios = run_suite(*words, "--nagios", report_dir=tmp_path / "nagios")
    assert (nagios.status, nagios.output.split(" - ")[0]) == (0, "NESTED-KVM OK")


def test_a_sites_check_is_not_owed_an_answer(tmp_path: Path) -> None:
    """One question is asked, and what `init` wrote is no part of it."""
    root = suite_with(tmp_path, "def test_own(target):\n    assert target\n")
    (tmp_path / "evidence").mkdir()
    never = record(NEVER, name="never")
    write_bundle(tmp_path / "evidence", machine("kvm-y", UNUSED, ok(HOLDERS, ""), domains=(never,), policy=REQUIRED))
    words = [f"--evidence={tmp_path}/evidence", "-m", "maintenance", "--gate"]
    gate = run_suite(*words, report_dir=tmp_path / "gate", root=root)
    assert (gate.status, gate.document["run"]["asked"]["not_asked"]) == (0, [])
