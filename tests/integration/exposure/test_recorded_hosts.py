"""Hosts of seven distributions, fixed, vulnerable and unknown, under each policy: who blocks, and what proves it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.exposed_hosts import recorded_hosts, write_advisories, write_fleet
from tests.support.suite import run_suite

STATES = ("fixed", "exposed", "undecided")
BY_STATE = {state: {name for name, host in recorded_hosts().items() if host["state"] == state} for state in STATES}
FORGETFUL = {"talos-vulnerable"}
"""It makes /etc again at each boot, so a line in modprobe.d switches nothing off for long."""


@dataclass(frozen=True)
class Audited:
    status: int
    output: str
    document: dict[str, Any]

    def outcome(self, name: str, control: str = "L0-SEC-03") -> str:
        found = [each for each in self.document["results"] if (each["target"], each["control"]) == (name, control)]
        return str(found[0]["outcome"])

    def exposure(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = [each for each in self.document["exposures"] if each["target"] == name]
        return found[0]

    def verdicts(self) -> dict[str, str]:
        lines = [line.split() for line in self.output.splitlines()]
        return {
            line[0]: line[1]
            for line in lines
            if len(line) > 1 and line[0] in recorded_hosts() and line[1] in {"PASS", "BLOCK"}
        }


def audited(folder: Path, nested: str, *, is_on: bool) -> Audited:
    inventory, evidence = write_fleet(folder, nested, is_on=is_on)
    run = run_suite(
        f"--inventory={inventory}",
        f"--evidence={evidence}",
        f"--advisories={write_advisories(folder)}",
        "--gate",
        "--max-age=3650d",
        report_dir=folder / "reports",
    )
    return Audited(run.status, run.output, run.document)


@pytest.fixture(scope="module")
def guarded_on(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audited(tmp_path_factory.mktemp("guarded-on"), "guarded", is_on=True)


@pytest.fixture(scope="module")
def guarded_off(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audited(tmp_path_factory.mktemp("guarded-off"), "guarded", is_on=False)


@pytest.fixture(scope="module")
def required_on(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audited(tmp_path_factory.mktemp("required-on"), "required", is_on=True)


@pytest.fixture(scope="module")
def forbidden_off(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audited(tmp_path_factory.mktemp("forbidden-off"), "forbidden", is_on=False)


def test_each_distribution_has_one_of_each() -> None:
    names = {name.partition("-")[0] for name in recorded_hosts()}
    assert names == {"debian", "ubuntu", "rhel", "suse", "fedora", "amazon", "talos"}
    assert {len(hosts) for hosts in BY_STATE.values()} == {len(names)}


@pytest.mark.parametrize("name", recorded_hosts())
def test_the_state_of_each_host_has_its_proof(guarded_on: Audited, name: str) -> None:
    host, found = recorded_hosts()[name], guarded_on.exposure(name)
    assert found["state"] == host["state"]
    shown = [each["reason"] + str(each["proof"]) for each in found["cves"]]
    assert any(host["proof"] in text for text in shown), shown
    assert guarded_on.outcome(name) == {"fixed": "pass", "exposed": "fail", "undecided": "unknown"}[host["state"]]


def test_under_guarded_patched_and_on_passes_the_rest_blocks(guarded_on: Audited) -> None:
    assert guarded_on.status == 1
    verdicts = guarded_on.verdicts()
    assert {name for name, verdict in verdicts.items() if verdict == "PASS"} == BY_STATE["fixed"]
    assert {name for name, verdict in verdicts.items() if verdict == "BLOCK"} == BY_STATE["exposed"] | BY_STATE[
        "undecided"
    ]


def test_under_guarded_unpatched_and_off_passes(guarded_off: Audited) -> None:
    verdicts = guarded_off.verdicts()
    assert {name for name in BY_STATE["exposed"] if verdicts[name] == "BLOCK"} == FORGETFUL, guarded_off.output[-3000:]
    states = {name: guarded_off.exposure(name)["state"] for name in BY_STATE["exposed"]}
    assert states == {name: "undecided" if name in FORGETFUL else "closed" for name in states}
    assert all(verdicts[name] == "BLOCK" for name in BY_STATE["undecided"]), "which polarity applies is not decided"
    assert all(verdicts[name] == "BLOCK" for name in BY_STATE["fixed"]), "nesting has to work where the kernel is fixed"


def test_under_required_only_what_is_proven_is_a_finding(required_on: Audited) -> None:
    verdicts = required_on.verdicts()
    assert {name for name, verdict in verdicts.items() if verdict == "BLOCK"} == BY_STATE["exposed"]
    assert {required_on.outcome(name) for name in BY_STATE["undecided"]} == {"informational"}


def test_under_forbidden_every_host_with_nesting_off_passes(forbidden_off: Audited) -> None:
    blocked = {name for name, verdict in forbidden_off.verdicts().items() if verdict == "BLOCK"}
    assert {name.partition("-")[0] for name in blocked} == {"talos"}, forbidden_off.output[-3000:]
    assert {forbidden_off.outcome(name, "L0-PER-07") for name in blocked} == {"fail"}


def test_the_terminal_shows_each_host_with_its_proof(guarded_on: Audited) -> None:
    for name, host in recorded_hosts().items():
        assert f"{name}: {host['state']}; {host['release']}" in guarded_on.output
    assert "EXPOSED: 7 hosts of 21" in guarded_on.output


@pytest.mark.parametrize("name", sorted(BY_STATE["exposed"]))
def test_the_finding_names_both_ways_out(guarded_on: Audited, name: str) -> None:
    (found,) = [
        each for each in guarded_on.document["results"] if (each["target"], each["control"]) == (name, "L0-SEC-03")
    ]
    commands = "\n".join(found["remediation"])
    assert "update the kernel" in commands
    assert "nested=0" in commands
    assert "nested=1" not in commands
