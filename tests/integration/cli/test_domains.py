"""libvirt-python on domains that libvirt's own test driver has, from the inventory to the results."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.libvirt_node import NAMED_MODEL, Definition, write_node
from tests.support.schema import assert_valid
from tests.support.suite import SuiteRun, run_suite

pytestmark = pytest.mark.needs("libvirt-python")

DOMAINS = (
    Definition("passthrough"),
    Definition("off", runs=False),
    Definition("named", NAMED_MODEL),
    Definition("emulated", "", type="qemu"),
)
INVENTORY = """\
hosts:
  kvm-r:
    address: local://
    level: L0
    libvirt: {uri}
    undeclared: required
  kvm-f:
    address: local://
    level: L0
    libvirt: {uri}
    undeclared: forbidden
    guests:
      web-1: {{domain: named, nested: forbidden}}
      web-2: {{domain: passthrough, nested: forbidden}}
  kvm-a:
    address: local://
    level: L0
    libvirt: {uri}
    guests:
      ci-1: {{domain: passthrough}}
      ci-2: {{domain: named}}
      ci-3: {{domain: gone}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("domains")
    uri = write_node(folder / "node.xml", *DOMAINS)
    (folder / "fleet.yaml").write_text(INVENTORY.format(uri=uri))
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> SuiteRun:
    return run_suite(f"--inventory={folder}/fleet.yaml", report_dir=folder / "reports")


def result(run: SuiteRun, target: str, subject: str, control: str) -> dict[str, Any]:
    wanted = {"target": target, "subject": subject, "control": control}
    (found,) = [each for each in run.document["results"] if wanted.items() <= each.items()]
    return dict(found)


def told(run: SuiteRun, target: str, subject: str) -> list[str]:
    """Return what DOM-CPU-01 to -03 say of a domain: the outcome, and the cause where there is one."""
    results = [result(run, target, subject, f"DOM-CPU-0{number}") for number in (1, 2, 3)]
    return [" ".join(filter(None, (each["outcome"], each["cause"]))) for each in results]


@pytest.mark.parametrize(
    ("target", "subject", "expected"),
    [
        ("kvm-a", "ci-1", ["pass", "pass", "unknown"]),
        ("kvm-a", "ci-2", ["pass", "fail named-model-lacks-flag", "unknown"]),
        ("kvm-a", "ci-3", ["error", "error", "error"]),
        ("kvm-a", "off", ["informational", "informational", "notapplicable"]),
        ("kvm-a", "emulated", ["informational domain-emulated", "notapplicable", "informational"]),
        ("kvm-r", "passthrough", ["pass", "pass", "unknown"]),
        ("kvm-r", "named", ["pass", "fail named-model-lacks-flag", "unknown"]),
        ("kvm-r", "emulated", ["fail domain-emulated", "notapplicable", "unknown"]),
        ("kvm-f", "off", ["notapplicable", "fail domain-gives-flag", "notapplicable"]),
        ("kvm-f", "emulated", ["notapplicable", "notapplicable", "unknown"]),
        ("kvm-f", "web-1", ["notapplicable", "pass", "unknown"]),
        ("kvm-f", "web-2", ["notapplicable", "fail domain-gives-flag", "unknown"]),
    ],
)
def test_a_domain_is_held_to_its_own_policy(run: SuiteRun, target: str, subject: str, expected: list[str]) -> None:
    """libvirt's test driver runs no process: whether a running domain is as its XML says is not known."""
    assert told(run, target, subject) == expected


def test_a_declared_domain_is_no_subject_under_libvirts_name(run: SuiteRun) -> None:
    subjects = {each["subject"] for each in run.document["results"] if each["target"] == "kvm-a"}
    assert subjects >= {"kvm-a", "ci-1", "ci-2", "ci-3", "off", "emulated"}
    assert not subjects & {"passthrough", "named", "gone"}


def test_of_an_undeclared_domain_nothing_is_asked_and_it_is_said(run: SuiteRun) -> None:
    seen = result(run, "kvm-a", "emulated", "DOM-CPU-01")
    assert seen["message"].startswith("not in the inventory (informational): ")
    assert seen["remediation"] == []


def test_a_domain_that_libvirt_does_not_know_is_named(run: SuiteRun) -> None:
    assert "has no domain gone" in result(run, "kvm-a", "ci-3", "DOM-CPU-02")["message"]


def test_a_finding_comes_with_the_commands_for_that_domain(run: SuiteRun) -> None:
    commands = result(run, "kvm-a", "ci-2", "DOM-CPU-02")["remediation"]
    assert any(line.startswith("virsh shutdown named") for line in commands)


def test_libvirt_answered(run: SuiteRun) -> None:
    for target in ("kvm-r", "kvm-f", "kvm-a"):
        assert result(run, target, target, "L0-LIB-01")["outcome"] == ("pass")
    libvirt = run.evidence("kvm-a")["libvirt"]
    assert (libvirt["means"], len(libvirt["domains"])) == ("libvirt", len(DOMAINS))


@pytest.mark.parametrize("words", [[], ["--inventory={folder}/fleet.yaml"]], ids=["alone", "with the inventory"])
def test_judging_the_evidence_again_gives_the_same_results(run: SuiteRun, folder: Path, words: list[str]) -> None:
    """Also for guests that nothing leads into, and although no libvirt is there any more."""
    node = folder / "node.xml"
    node.rename(folder / "away")
    try:
        again = run_suite(
            f"--evidence={run.reports.resolve()}/evidence",
            *(word.format(folder=folder) for word in words),
            report_dir=folder / f"again-{len(words)}",
        )
    finally:
        (folder / "away").rename(node)
    assert comparable(again) == comparable(run)
    assert again.status == run.status == 1


def comparable(run: SuiteRun) -> dict[str, Any]:
    """Return a run's document without its name and times, and without what it knew of other targets."""
    of_the_run = {"id", "started", "finished", "inventory", "inputs"}
    kept = {key: value for key, value in run.document["run"].items() if key not in of_the_run}
    asked = {key: kept["asked"][key] for key in ("owed", "not_asked", "targets")}
    targets = [{key: each[key] for key in each if key != "evidence"} for each in run.document["targets"]]
    return {**run.document, "targets": targets, "run": {**kept, "asked": asked}}


def test_every_file_of_such_a_run_is_valid(run: SuiteRun) -> None:
    assert_valid(run)
