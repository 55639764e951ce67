"""The report's chart of earlier runs."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.inventory.shard import FleetShard
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.reporting.html.opening import opening
from nested_kvm.reporting.html.trend import RUNS, trend
from nested_kvm.results.run import Result, ResultList, Run
from nested_kvm.results.scope import NotAsked
from tests.support.html_report import elements
from tests.support.made_runs import ERROR, FAIL, PASS, STARTED, run_of, scope

MANY = 5000
"""Findings: a file of which a reader takes several bites."""


def text_of(run: Run, folder: Path) -> str:
    return " ".join(" ".join(elements(opening(run, scope(), folder)).texts).split())


def replace_id(run: Run) -> Run:
    run.id, run.started = "another", STARTED - timedelta(days=30)
    return run


def keep(folder: Path, run: Run, name: str) -> Path:
    file = folder / name / "results.json"
    file.parent.mkdir(parents=True)
    file.write_text("".join(results_json(run)))
    return file


def test_the_trend_is_of_the_last_runs_of_this_inventory(tmp_path: Path) -> None:
    for day in range(1, 20):
        earlier = run_of(*[FAIL] * day, PASS, started=STARTED + timedelta(days=day))
        earlier.id = f"run {day}"
        keep(tmp_path, earlier, f"2026-03-{day + 1:02}T12-00-00Z")
    other = run_of(*[FAIL] * 50)
    other.inventory = "other.yaml"
    keep(tmp_path, other, "2026-03-28T12-00-00Z")
    this = run_of(ERROR, started=STARTED + timedelta(days=28))
    keep(tmp_path, this, "2026-03-29T12-00-00Z")
    found = trend(this, tmp_path)
    assert [point.findings for point in found.points] == [*range(20 - RUNS + 1, 20), 0]
    assert found.points[-1].unseen == 1
    assert found.ignored == ()
    assert f"over {RUNS} runs" in text_of(this, tmp_path)


def test_the_trend_compares_parts_with_parts(tmp_path: Path) -> None:
    shard = FleetShard(1, 2, "0" * 64)
    kept = {None: 1, shard: 2, FleetShard(2, 2, "0" * 64): 3, FleetShard(1, 3, "0" * 64): 4}
    for part, findings in kept.items():
        earlier = replace_id(run_of(*[FAIL] * findings, shard=part))
        keep(tmp_path, earlier, f"2026-02-0{findings}T12-00-00Z")
    assert [point.findings for point in trend(run_of(PASS), tmp_path).points] == [1, 0]
    assert [point.findings for point in trend(run_of(PASS, shard=shard), tmp_path).points] == [2, 0]


@pytest.mark.parametrize("broken", ["", "{", "[]", "null", '{"schema": "another/1"}', "[" * 100_000, "\xff\xfe"])
def test_a_broken_earlier_result_is_left_out_and_said(tmp_path: Path, broken: str) -> None:
    keep(tmp_path, run_of(PASS), "2026-02-01T12-00-00Z").write_bytes(broken.encode("latin-1"))
    this = run_of(PASS)
    assert trend(this, tmp_path).ignored == ("2026-02-01T12-00-00Z/results.json",)
    assert "could not be read were left out: 2026-02-01T12-00-00Z/results.json." in text_of(this, tmp_path)


def test_the_trend_reads_what_older_versions_wrote(tmp_path: Path) -> None:
    file = keep(tmp_path, replace_id(run_of(FAIL, PASS)), "2026-02-01T12-00-00Z")
    document = json.loads(file.read_text())
    del document["waivers"], document["drift"], document["run"]["counts"]
    file.write_text(json.dumps(document))
    assert [point.findings for point in trend(run_of(PASS), tmp_path).points] == [1, 0]


def test_the_trend_takes_a_runs_own_word_and_reads_no_result(tmp_path: Path) -> None:
    file = keep(tmp_path, replace_id(run_of(FAIL, FAIL, ERROR, PASS)), "2026-02-01T12-00-00Z")
    before, results, _ = file.read_text().partition('"results"')
    file.write_text(f"{before}{results}: [")
    earlier, _ = trend(run_of(PASS), tmp_path).points
    assert (earlier.findings, earlier.unseen) == (2, 1)


@pytest.mark.parametrize(("says_counts", "points"), [(True, 2), (False, 1)])
def test_the_trend_stops_when_it_has_read_enough_and_of_a_run_that_counts_it_reads_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, says_counts: bool, points: int
) -> None:
    keep(tmp_path, replace_id(run_of(FAIL)), "2026-02-01T12-00-00Z")
    newer = keep(tmp_path, replace_id(run_of(*[FAIL] * MANY)), "2026-02-02T12-00-00Z")
    document = json.loads(newer.read_text())
    if not says_counts:
        del document["run"]["counts"]
    newer.write_text(json.dumps(document))
    monkeypatch.setattr("nested_kvm.reporting.html.trend._BYTES", newer.stat().st_size)
    earlier = trend(run_of(PASS), tmp_path).points[:-1]
    assert sorted(point.findings for point in earlier) == [1, MANY][-points:]


@pytest.mark.parametrize("counts", [None, [], {}, {"findings": -1, "undecided": 0}, {"findings": 1, "undecided": True}])
def test_a_count_that_is_none_is_not_believed(counts: object, tmp_path: Path) -> None:
    file = keep(tmp_path, replace_id(run_of(FAIL)), "2026-02-01T12-00-00Z")
    document = json.loads(file.read_text())
    document["run"]["counts"] = counts
    file.write_text(json.dumps(document))
    found = trend(run_of(PASS), tmp_path)
    assert (len(found.points), found.ignored) == (1, ("2026-02-01T12-00-00Z/results.json",))


def ad_hoc(*results: Result, **more: Any) -> Run:
    run = run_of(*results, **more)
    run.inventory = "--hosts"
    return run


def test_runs_of_other_hosts_are_no_trend(tmp_path: Path) -> None:
    """Each of `--hosts=kvm-a` and `--hosts=kvm-b` is another fleet."""
    other = replace_id(ad_hoc(FAIL, FAIL))
    other.targets = [replace(other.targets[0], name="kvm-b")]
    keep(tmp_path, other, "2026-02-01T12-00-00Z")
    same = replace_id(ad_hoc(FAIL))
    same.id = "the same hosts"
    keep(tmp_path, same, "2026-02-02T12-00-00Z")
    assert [point.findings for point in trend(ad_hoc(PASS), tmp_path).points] == [1, 0]


def test_runs_with_another_policy_are_no_trend(tmp_path: Path) -> None:
    other = replace_id(ad_hoc(FAIL))
    other.targets = [replace(each, policy=Policy(Nested.FORBIDDEN)) for each in other.targets]
    keep(tmp_path, other, "2026-02-01T12-00-00Z")
    assert len(trend(ad_hoc(PASS), tmp_path).points) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"left_out": 3, "targets": []},
        {"not_asked": [NotAsked("L0-KVM-04", "kvm-a", "kvm-a", "-k")]},
        {"results": ResultList([replace(FAIL, decides=True)])},
    ],
    ids=["some targets", "some controls", "other controls"],
)
def test_a_narrowed_run_is_no_trend_with_a_whole_one(tmp_path: Path, more: dict[str, Any]) -> None:
    narrowed = replace_id(run_of(FAIL))
    for name, value in more.items():
        setattr(narrowed, name, value)
    keep(tmp_path, narrowed, "2026-02-01T12-00-00Z")
    assert len(trend(run_of(PASS, left_out=0), tmp_path).points) == 1


def test_a_fleet_that_grew_is_still_that_inventory(tmp_path: Path) -> None:
    smaller = replace_id(run_of(FAIL, left_out=0))
    smaller.targets = smaller.targets[:1]
    keep(tmp_path, smaller, "2026-02-01T12-00-00Z")
    assert len(trend(run_of(PASS, left_out=0), tmp_path).points) == 2
