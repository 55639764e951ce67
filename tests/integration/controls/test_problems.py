"""Every finding of recorded machines is in exactly one problem, in results.json and after a merge."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.merging.merge import merged_run
from nested_kvm.merging.stored_results import StoredResults
from nested_kvm.model.cause import Cause
from nested_kvm.results.problem import FindingRef, Problem
from nested_kvm.results.problems import problems_of, ref_of
from nested_kvm.results.run import Result, ResultList, Run
from tests.support.evaluation import fleet_of, readings_of
from tests.support.field_failure import failures
from tests.support.made_runs import WAIVER
from tests.support.problem_runs import run_of_fleet
from tests.support.scenario_fleet import ROOT, FleetRun, judge_evidence, run_fleet

Document = dict[str, Any]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return run_fleet(tmp_path_factory.mktemp("field"), cases=failures()).document


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Document:
    folder = ROOT / "examples" / "fleet"
    given = (f"--inventory={folder / 'inventory.yaml'}", f"--waivers={folder / 'waivers.yaml'}")
    baseline = f"--baseline={folder / 'baseline.json'}"
    return judge_evidence(folder / "evidence", tmp_path_factory.mktemp("demo"), *given, baseline).document


def rows(document: Document) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Each finding that a problem names, with the problem's id and the finding's role."""
    for problem in document["problems"]:
        yield problem["finding"], problem["id"], "cause"
        yield from ((each, problem["id"], "consequence") for each in problem["consequences"])


def check_one_problem_each(document: Document) -> None:
    key = "target", "subject", "control"
    fails = [each for each in document["results"] if each["outcome"] == "fail"]
    named = {(*(ref[part] for part in key), ref.get("check")): (found, role) for ref, found, role in rows(document)}
    assert len(list(rows(document))) == len(named) == len(fails)
    said = {(*(each[part] for part in key), each.get("check")): (each["problem"], each["role"]) for each in fails}
    assert said == named
    ids = [each["id"] for each in document["problems"]]
    assert len(ids) == len(set(ids))
    assert [each for each in document["results"] if each["outcome"] != "fail" and "problem" in each] == []


def test_every_finding_of_published_failures_is_in_exactly_one_problem(field: Document) -> None:
    check_one_problem_each(field)
    assert len(field["problems"]) > 20


def test_every_finding_of_the_demo_is_in_exactly_one_problem(demo: Document) -> None:
    check_one_problem_each(demo)


def test_every_finding_of_the_scenarios_is_in_exactly_one_problem(fleet_run: FleetRun) -> None:
    check_one_problem_each(fleet_run.document)


def test_the_readme_says_how_many_problems_the_demo_has(demo: Document) -> None:
    findings = sum(each["outcome"] == "fail" for each in demo["results"])
    assert f"{findings} findings of the demo are {len(demo['problems'])} problems" in (ROOT / "README.md").read_text()


def test_the_demo_keeps_what_is_waived_and_names_what_is_new(demo: Document) -> None:
    assert [each["cause"] for each in demo["problems"] if each["waived"]] == ["mitigation-missing"]
    assert demo["problems"][-1]["waived"], "what is waived comes last"
    assert [each["cause"] for each in demo["problems"] if each["drift"] == "new"] == [
        "persisted-value-invalid",
        "guest-has-flag",
        "shutdown-saves-guests",
    ]


@cache
def run_of(name: str) -> Run:
    return run_of_fleet(fleet_of(name, readings_of(name)))


def problem_of(run: Run, cause: Cause) -> Problem:
    (found,) = [each for each in run.problems if each.cause is cause]
    return found


@pytest.mark.parametrize("name", ["amd-pair-nested-off", "s390x-pair-nested-off"])
def test_nested_off_on_a_host_is_one_problem_with_all_guests_as_its_consequences(name: str) -> None:
    run = run_of(name)
    problem = problem_of(run, Cause.NESTED_OFF)
    guests = {each.name for each in run.targets if each.host is not None}
    assert set(problem.holds_back_now) == guests == set(problem.frees)
    held = {each.target for each in problem.consequences}
    assert held == guests | {name}
    assert {each.control for each in problem.consequences} >= {"L1-CPU-01", "L1-KVM-01", "PAIR-01"}


def test_a_bad_value_that_is_persisted_is_one_problem_of_the_next_boot(demo: Document) -> None:
    (problem,) = [each for each in demo["problems"] if each["cause"] == "persisted-value-invalid"]
    assert problem["holds_back_now"] == []
    assert problem["holds_back_after_boot"] == ["ci-5", "ci-6"]
    assert problem["boot_makes_worse"]
    assert problem["place"]["source"] == "/etc/modprobe.d/kvm-nested.conf:1"
    assert problem["frees"] == ["ci-5"], "another problem holds ci-6 back"


def test_problems_come_by_guests_held_back_and_then_by_severity(fleet_run: FleetRun) -> None:
    for each in (fleet_run.document,):
        order = [
            (-len({*one["holds_back_now"], *one["holds_back_after_boot"]}), _rank(one))
            for one in each["problems"]
            if not one["waived"]
        ]
        assert order == sorted(order)


def _rank(problem: dict[str, Any]) -> int:
    return ["critical", "high", "medium", "low"].index(problem["severity"])


def test_the_order_of_the_results_changes_no_problem() -> None:
    for name in ("amd-pair-nested-off", "amd-firmware-disabled"):
        run = run_of(name)
        turned = replace(run, results=ResultList(reversed(list(run.results.sorted_by_target()))))
        assert list(problems_of(turned)) == list(run.problems)


def test_a_merge_of_shards_has_the_problems_of_its_shards(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "fleet"
    whole = judge_evidence(
        folder / "evidence", tmp_path / "whole", f"--inventory={folder / 'inventory.yaml'}"
    ).document["problems"]
    shards = []
    for number in (1, 2, 3):
        reports = tmp_path / str(number)
        given = f"--inventory={folder / 'inventory.yaml'}", f"--shard={number}/3"
        judge_evidence(folder / "evidence", reports, *given)
        shards.append((reports / "latest").resolve())
    merged = merged_run(shards, StoredResults(), lambda _count: None)
    assert [each.id for each in merged.problems] == [each["id"] for each in whole]
    assert [list(each.commands) for each in merged.problems] == [each["commands"] for each in whole]
    assert [list(each.frees) for each in merged.problems] == [each["frees"] for each in whole]


def test_a_file_of_an_older_version_gets_its_problems_in_a_merge(tmp_path: Path, demo: Document) -> None:
    old = {key: value for key, value in demo.items() if key not in {"problems", "answers"}}
    old["results"] = [{k: v for k, v in each.items() if k not in {"problem", "role"}} for each in old["results"]]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(old))
    merged = merged_run([file], StoredResults(), lambda _count: None)
    assert [each.id for each in merged.problems] == [each["id"] for each in demo["problems"]]


def test_a_waived_cause_with_an_open_consequence_is_no_waived_problem() -> None:
    run = run_of("amd-pair-nested-off")
    problem = problem_of(run, Cause.NESTED_OFF)
    assert not problem.waived
    results = [_waived(each, {problem.finding}) for each in run.results.sorted_by_target()]
    (partly,) = _of_cause(replace(run, results=ResultList(results)), Cause.NESTED_OFF)
    assert (partly.waived, partly.id) == (False, problem.id)
    results = [_waived(each, set(problem.findings)) for each in run.results.sorted_by_target()]
    (wholly,) = _of_cause(replace(run, results=ResultList(results)), Cause.NESTED_OFF)
    assert wholly.waived


def _of_cause(run: Run, cause: Cause) -> list[Problem]:
    return [each for each in problems_of(run) if each.cause is cause]


def _waived(result: Result, refs: set[FindingRef]) -> Result:
    return replace(result, waiver=WAIVER) if ref_of(result) in refs else result
