"""Machines that must not pass, one by one behind a gate: each differs in one fault from a machine that does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bad_machines import ANY_AGE, MACHINES, NAME, BadMachine
from tests.support.suite import Runner, SuiteRun


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    made = Runner(tmp_path_factory.mktemp("home"))
    yield made
    made.close()


def gate(runner: Runner, machine: BadMachine, folder: Path, *words: str) -> SuiteRun:
    return runner.run(*machine.write(folder / "machine"), *words, report_dir=folder / "reports")


def passes(run: SuiteRun) -> list[str]:
    lines = run.output.splitlines()
    return [each for each in lines if each.startswith(("COMPLIANT", "NESTED-KVM OK")) or "  PASS" in each]


@pytest.mark.parametrize("name", MACHINES)
def test_it_does_not_pass(runner: Runner, tmp_path: Path, name: str) -> None:
    machine = MACHINES[name]
    run = gate(runner, machine, tmp_path, "--gate", ANY_AGE)
    subject = f"{NAME}.{machine.subject}" if machine.subject == "ci-1" else machine.subject or NAME
    assert run.outcomes(subject).get(machine.control) in machine.outcomes, run.text
    assert run.status == 1, run.text
    assert [line for line in passes(run) if line.startswith((f"{NAME}  ", "COMPLIANT"))] == []


@pytest.mark.parametrize("base", ["amd-l0", "intel-l0", "aarch64-l0"])
def test_without_a_fault_it_passes(runner: Runner, tmp_path: Path, base: str) -> None:
    """Otherwise the others would prove nothing."""
    run = gate(runner, BadMachine("", {}, base), tmp_path, "--gate", ANY_AGE)
    assert run.status == 0, run.text
    assert passes(run) != []


def test_there_are_as_many_as_passed_once() -> None:
    assert len(MACHINES) >= 34


def test_a_waived_libvirt_lists_no_domain(runner: Runner, tmp_path: Path) -> None:
    """The finding is accepted; what it kept from being evaluated is not."""
    waivers = tmp_path / "waivers.yaml"
    entry = {"control": "*", "target": "*", "reason": "known", "approver": "Grace", "permanent": True}
    waivers.write_text(json.dumps({"waivers": [entry]}))
    machine = MACHINES["nesting is forbidden, and libvirt refuses"]
    run = gate(runner, machine, tmp_path, "--gate", ANY_AGE, f"--waivers={waivers}")
    libvirt = next(each for each in run.document["results"] if each["control"] == "L0-LIB-01")
    assert (libvirt["outcome"], libvirt["waiver"] is not None) == ("fail", True)
    assert run.outcomes(NAME)["DOM-CPU-02"] == "error"
    assert run.status == 1
    assert passes(run) == []
