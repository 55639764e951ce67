"""The scenarios are enough: every control passes and fails, every cause occurs, and what is printed can be run."""

import os
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from nested_kvm.controls.catalogue import catalogue
from nested_kvm.model.control import Control
from nested_kvm.model.link import LinkName
from tests.support.needs import program
from tests.support.scenario import scenarios
from tests.support.scenario_fleet import ROOT, FleetRun, judge_evidence
from tests.support.schema import problems

OF_MAINTENANCE = {"DOM-OPS-01", "L1-OPS-01"}
"""Judged only when asked for: tests/integration/cli has their scenarios."""
CONTROLS = [control for control in catalogue(ROOT) if control.id not in OF_MAINTENANCE]
SHELLS = [pytest.param(shell, marks=pytest.mark.needs(shell)) for shell in ("sh", "bash", "busybox")]
STUBS = ("virsh", "virt-xml", "modprobe", "grep", "cat", "sed", "printf", "dmesg", "tail")


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_every_control_is_passed_and_failed_by_a_scenario(fleet_run: FleetRun, control: Control) -> None:
    outcomes = {result["outcome"] for result in fleet_run.all() if result["control"] == control.id}
    assert outcomes >= {"pass", "fail"}


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_a_control_declares_exactly_the_causes_that_it_names(fleet_run: FleetRun, control: Control) -> None:
    named = {result["cause"] for result in fleet_run.all() if result["control"] == control.id} - {None}
    assert named == {cause.code for cause in control.causes}


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_a_control_that_may_be_unknown_says_when_and_no_other_does(fleet_run: FleetRun, control: Control) -> None:
    own = [result for result in fleet_run.all() if result["control"] == control.id]
    outcomes = {result["outcome"] for result in own if "nested: guarded" not in result["message"]}
    assert bool(control.unknown) is ("unknown" in outcomes), "its docstring needs a paragraph `Unknown:`, or has one"


def test_the_controls_of_maintenance_say_when_they_are_unknown() -> None:
    assert all(control.unknown for control in catalogue(ROOT) if control.id in OF_MAINTENANCE)


def test_the_run_says_that_there_are_findings(fleet_run: FleetRun) -> None:
    assert fleet_run.exit_status == 1


def test_only_what_was_looked_at_is_judged(fleet_run: FleetRun) -> None:
    targets = fleet_run.document["targets"]
    without_address = {target["name"] for target in targets if target["address"] is None}
    unreachable = {target["name"] for target in targets if target["error"] is not None}
    assert without_address
    assert unreachable
    assert _outcomes(fleet_run, without_address) == {"notchecked", "notapplicable"}
    assert _outcomes(fleet_run, unreachable) == {"error", "notapplicable"}


def test_only_a_finding_has_a_remedy_and_every_finding_has_one(fleet_run: FleetRun) -> None:
    for result in fleet_run.all():
        assert bool(result["remediation"]) is (result["outcome"] == "fail"), result


def test_every_link_is_broken_by_a_scenario(fleet_run: FleetRun) -> None:
    broken = {diagnosis["broken_link"] for diagnosis in fleet_run.document["diagnoses"]} - {None}
    assert broken == {link.value for link in LinkName}


def test_every_guest_shows_its_whole_chain(fleet_run: FleetRun) -> None:
    for diagnosis in fleet_run.document["diagnoses"]:
        assert [link["link"] for link in diagnosis["links"]] == [link.value for link in LinkName]
        *before, last = [link["state"] for link in diagnosis["links"]]
        holding = set(before) == {"holds"} and last in {"holds", "notchecked"}
        assert (diagnosis["can_nest"] == "yes") is holding, diagnosis


def test_the_results_keep_to_their_schema(fleet_run: FleetRun) -> None:
    assert problems("results", fleet_run.document) == []


def test_every_message_is_a_sentence_for_people(fleet_run: FleetRun) -> None:
    for result in fleet_run.all():
        assert result["message"].strip(), result
        assert "object at 0x" not in result["message"], result


@pytest.mark.parametrize("shell", SHELLS)
def test_every_remedy_is_a_shell_command(fleet_run: FleetRun, shell: str) -> None:
    mended = [*fleet_run.all(), *fleet_run.document["diagnoses"]]
    lines = {line for each in mended for line in each["remediation"]}
    assert not {line for line in lines if "\n" in line}
    done = _sh(program(shell) or "", "-n", script="\n".join(sorted(lines)))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_hostile_name_runs_nothing(fleet_run: FleetRun, tmp_path: Path) -> None:
    """Run the remedies that name such a domain, with all that they call replaced by what prints its arguments."""
    stubs, here = tmp_path / "bin", tmp_path / "here"
    stubs.mkdir()
    here.mkdir()
    for name in STUBS:
        (stubs / name).write_text('#!/bin/sh\nfor word; do echo "<$word>"; done\n')
        (stubs / name).chmod(0o755)
    (stubs / "touch").symlink_to(program("touch") or "")
    shown: dict[str, set[str]] = defaultdict(set)
    for result in fleet_run.all():
        for line in result["remediation"]:
            if "touch" in line:
                done = subprocess.run(
                    ["/bin/sh", "-c", line],
                    cwd=here,
                    env={"PATH": str(stubs)},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                shown[done.stdout].add(line)
    assert list(here.iterdir()) == []
    words = {word for output in shown for word in output.splitlines()}
    assert words >= {"<$(touch one); touch 'two' `touch three` > four>", "<it's $(touch five)>"}


def test_the_evidence_alone_gives_the_same_results(fleet_run: FleetRun, tmp_path: Path) -> None:
    again = judge_evidence(fleet_run.reports / "latest" / "evidence", tmp_path)
    assert _told(again) == _told(fleet_run)


def test_a_scenario_tells_where_it_comes_from() -> None:
    for name, scenario in scenarios().items():
        assert scenario.source.startswith(("recorded", "constructed")), name
        assert not set(scenario.expect) - {control.id for control in catalogue(ROOT)}, name


def test_a_guest_that_is_looked_at_from_inside_is_diagnosed() -> None:
    for name, scenario in scenarios().items():
        for domain, case in scenario.domains.items():
            assert case.inside is None or case.diagnosis is not None, f"{name}/{domain}"
            assert case.diagnosis is None or case.declared is not None, f"{name}/{domain}"


def _outcomes(run: FleetRun, targets: set[str]) -> set[str]:
    return {result["outcome"] for result in run.all() if result["target"] in targets}


def _told(run: FleetRun) -> list[str]:
    return sorted(str(result) for result in run.all())


def _sh(path: str, *arguments: str, script: str) -> subprocess.CompletedProcess[str]:
    applet = ["sh"] if path.endswith("busybox") else []
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    return subprocess.run(
        [path, *applet, *arguments], input=script, env=environment, capture_output=True, text=True, check=False
    )
