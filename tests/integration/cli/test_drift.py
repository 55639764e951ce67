"""What became of the findings of an earlier run: new, fixed, persisting, gone, or not judged again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.evidence.reading import Reading, Status
from tests.support.recorded import SAVES_GUESTS, record
from tests.support.schema import assert_valid
from tests.support.suite import SuiteRun, run_suite

NO_FLAG = {"/proc/cpuinfo": "processor : 0\nvendor_id : AuthenticAMD\nflags : fpu lm"}
UNREADABLE = {"/proc/cpuinfo": Reading("", Status.UNREADABLE)}
SHUTDOWN, CPU = "L0-OPS-01", "L0-CPU-01"

Runs = Mapping[str, SuiteRun]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of a fleet: what happens to each host is its name."""
    folder = tmp_path_factory.mktemp("drift")
    first, second = folder / "first", folder / "second"
    record(first, "persists", readings=SAVES_GUESTS)
    record(second, "persists", readings=SAVES_GUESTS)
    record(first, "mended", readings=SAVES_GUESTS)
    record(second, "mended")
    record(first, "breaks")
    record(second, "breaks", readings=NO_FLAG)
    record(first, "hides", readings=NO_FLAG)
    record(second, "hides", readings=UNREADABLE)
    record(first, "vanishes", readings=SAVES_GUESTS)
    record(second, "appears")
    return folder


@pytest.fixture(scope="module")
def first(folder: Path) -> SuiteRun:
    return run_suite(f"--evidence={folder}/first", report_dir=folder / "reports" / "first")


def again(folder: Path, name: str, *words: str) -> SuiteRun:
    baseline = folder / "reports" / "first" / "latest" / "results.json"
    return run_suite(f"--baseline={baseline}", *words, report_dir=folder / "reports" / name)


@pytest.fixture(scope="module")
def second(folder: Path, first: SuiteRun) -> SuiteRun:
    assert first.document["drift"] is None
    return again(folder, "second", f"--evidence={folder}/second")


def test_the_run_may_be_given_by_its_folder(folder: Path, first: SuiteRun) -> None:
    baseline = folder / "reports" / "first" / "latest"
    words = [f"--evidence={folder}/first", f"--baseline={baseline}"]
    run = run_suite(*words, report_dir=folder / "reports" / "by folder")
    assert set(drift(run).values()) == {"persisting"}
    assert run.document["run"]["id"] != first.document["run"]["id"]


def drift(run: SuiteRun) -> dict[tuple[str, str], str]:
    return {(each["target"], each["control"]): each["drift"] for each in run.document["results"] if each["drift"]}


def named(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["target"], each["control"]) for each in findings]


def test_each_finding_says_what_became_of_it(second: SuiteRun) -> None:
    found = drift(second)
    assert found["persists", SHUTDOWN] == "persisting"
    assert found["mended", SHUTDOWN] == "fixed"
    assert found["breaks", CPU] == "new"
    assert ("hides", CPU) not in found
    assert {target for target, _ in found} == {"persists", "mended", "breaks"}
    assert_valid(second)


def test_the_summary_names_what_this_run_does_not_have(first: SuiteRun, second: SuiteRun) -> None:
    summary = second.document["drift"]
    assert summary["baseline"]["id"] == first.document["run"]["id"]
    assert summary["new"] == sum(word == "new" for word in drift(second).values())
    assert summary["persisting"] == 1
    assert named(summary["fixed"]) == [("mended", SHUTDOWN)]
    assert named(summary["gone"]) == [("vanishes", SHUTDOWN)]
    assert ("hides", CPU) in named(summary["unjudged"])
    assert summary["vanished"] == ["vanishes"]


def test_the_terminal_tells_it(second: SuiteRun) -> None:
    lines = second.output.splitlines()
    assert [line for line in lines if line.startswith("mended  fixed: L0-OPS-01 ")]
    assert "vanishes  vanished: no longer in the inventory" in lines
    assert [line for line in lines if line.startswith("since the baseline of ") and " 1 persisting, 1 fixed" in line]
    assert "persists  L0-OPS-01  high  persisting" in lines


def test_nagios_counts_what_is_new(folder: Path, first: SuiteRun, second: SuiteRun) -> None:
    assert first.status == 1
    answer = again(folder, "nagios", f"--evidence={folder}/second", "--nagios")
    assert answer.status == 2
    assert f" new={second.document['drift']['new']};;;0 " in answer.output


def test_junit_has_it_as_a_property(second: SuiteRun) -> None:
    found = {
        (values["target"], values["control"]): values["drift"]
        for case in second.junit.iter("testcase")
        if "drift" in (values := {each.get("name"): each.get("value") for each in case.iter("property")})
    }
    assert found == drift(second)


@pytest.mark.parametrize(
    ("names", "status"), [("persists,mended,appears", 0), ("persists,breaks", 1), ("persists,hides", 6)]
)
def test_only_new_findings_fail_on_drift(folder: Path, first: SuiteRun, names: str, status: int) -> None:
    """And what could not be looked at, as always."""
    assert first.status == 1
    chosen = folder / f"chosen-{names}"
    chosen.mkdir()
    for name in names.split(","):
        (chosen / f"{name}.json").write_bytes((folder / "second" / f"{name}.json").read_bytes())
    words = [f"--evidence={chosen}"]
    assert again(folder, f"all-{names}", *words).status == 1
    assert again(folder, f"new-{names}", *words, "--fail-on-drift").status == status


def test_what_was_left_out_is_neither_fixed_nor_gone(folder: Path, first: SuiteRun) -> None:
    narrow = again(folder, "narrow", f"--evidence={folder}/first", "--hosts=mended", "-k", "cpu_has")
    summary = narrow.document["drift"]
    assert (summary["fixed"], summary["gone"], summary["vanished"]) == ([], [], [])
    findings = [(each["target"], each["control"]) for each in first.document["results"] if each["outcome"] == "fail"]
    assert sorted(named(summary["unjudged"])) == sorted(findings)


def test_a_finding_that_a_waiver_no_longer_covers_is_new(folder: Path) -> None:
    record(folder / "one", "persists", readings=SAVES_GUESTS)
    waivers = folder / "waivers.yaml"
    entry = {"control": "*", "target": "*", "reason": "known", "approver": "ops"}
    waivers.write_text(json.dumps({"waivers": [{**entry, "permanent": True}]}))
    words = [f"--evidence={folder}/one", f"--waivers={waivers}"]
    waived = run_suite(*words, report_dir=folder / "reports" / "waived")
    assert waived.status == 0
    baseline = f"--baseline={waived.reports}/results.json"
    assert set(drift(run_suite(*words, baseline, report_dir=folder / "reports" / "still")).values()) == {"persisting"}
    waivers.write_text(json.dumps({"waivers": [{**entry, "expires": "2020-01-01"}]}))
    over = run_suite(*words, baseline, "--fail-on-drift", report_dir=folder / "reports" / "over")
    assert (over.status, set(drift(over).values())) == (1, {"new"})


def test_a_gate_lets_persisting_findings_pass_where_only_new_ones_fail(folder: Path, first: SuiteRun) -> None:
    assert first.status == 1
    gate = again(folder, "gate", f"--evidence={folder}/first", "--gate", "--fail-on-drift")
    assert gate.status == 0
    assert {line for line in gate.output.splitlines() if "  BLOCK  " in line} == set()
    assert "persists  PASS" in gate.output.splitlines()


def test_a_run_that_stops_at_its_first_failure_is_never_compliant(folder: Path, first: SuiteRun) -> None:
    stopped = again(folder, "stopped", f"--evidence={folder}/first", "-x", "--fail-on-drift")
    assert stopped.status == 2
    assert named(stopped.document["drift"]["unjudged"])
    assert stopped.document["drift"]["gone"] == []
    assert len(stopped.document["results"]) < len(first.document["results"])
