"""Results that share target, subject and control: a site's own tests may, and each is counted."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.results.baseline import Baseline, load_baseline
from nested_kvm.results.drift import Drift
from nested_kvm.results.recorder import Ledger
from nested_kvm.results.run import Result, ResultList, Run, TargetResult
from nested_kvm.results.scope import RunScope
from nested_kvm.results.waivers import Waivers

FLEET = frozenset({"kvm-a"})
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def result(outcome: Outcome, control: str = "SITE-test_a") -> Result:
    return Result(control, "kvm-a", "kvm-a", outcome, Severity.MEDIUM, "A title.", "a message")


def run_of(*outcomes: Outcome) -> Run:
    target = TargetResult(
        name="kvm-a", level=TargetLevel.L0, host=None, address="ssh://kvm-a", observed=True, error=None
    )
    results = [result(each) for each in outcomes]
    return Run("1", STARTED, "0", "--hosts", STARTED, 1, complete=True, targets=[target], results=ResultList(results))


def baseline_of(folder: Path, *outcomes: Outcome) -> Baseline:
    path = folder / "results.json"
    path.write_text("".join(results_json(run_of(*outcomes))))
    return load_baseline(path, FLEET)


PASS, FAIL, ERROR, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN
NOTAPPLICABLE, NOTCHECKED = Outcome.NOTAPPLICABLE, Outcome.NOTCHECKED


@pytest.mark.parametrize(
    ("then", "now", "drift", "counts"),
    [
        ([FAIL, PASS], [FAIL, PASS], [Drift.PERSISTING, None], (0, 1, 0, 0, 0)),
        ([FAIL, PASS], [PASS, FAIL], [None, Drift.PERSISTING], (0, 1, 0, 0, 0)),
        ([FAIL, PASS], [FAIL, FAIL], [Drift.PERSISTING, Drift.NEW], (1, 1, 0, 0, 0)),
        ([FAIL, FAIL], [FAIL, PASS], [Drift.PERSISTING, Drift.FIXED], (0, 1, 1, 0, 0)),
        ([FAIL, FAIL], [PASS, PASS], [Drift.FIXED, Drift.FIXED], (0, 0, 2, 0, 0)),
        ([FAIL, FAIL], [FAIL, ERROR], [Drift.PERSISTING, None], (0, 1, 0, 0, 1)),
        ([FAIL], [UNKNOWN], [None], (0, 0, 0, 0, 1)),
        ([FAIL], [NOTCHECKED], [None], (0, 0, 0, 0, 1)),
        ([FAIL], [NOTAPPLICABLE], [Drift.GONE], (0, 0, 0, 1, 0)),
        ([FAIL], [], [], (0, 0, 0, 1, 0)),
        ([PASS], [FAIL], [Drift.NEW], (1, 0, 0, 0, 0)),
        ([ERROR], [FAIL], [Drift.NEW], (1, 0, 0, 0, 0)),
        ([ERROR], [PASS], [None], (0, 0, 0, 0, 0)),
        ([], [FAIL], [Drift.NEW], (1, 0, 0, 0, 0)),
    ],
    ids=str,
)
def test_each_finding_is_counted_once(
    tmp_path: Path,
    then: list[Outcome],
    now: list[Outcome],
    drift: list[Drift | None],
    counts: tuple[int, ...],
) -> None:
    ledger = Ledger(RunScope(FLEET, FLEET, is_whole=True), Waivers([], date.min), baseline_of(tmp_path, *then))
    recorded = [ledger.record(str(number), result(outcome)) for number, outcome in enumerate(now)]
    assert [each.drift for each in recorded] == drift
    run = run_of()
    ledger.close(run)
    summary = run.drift
    assert summary is not None
    ended = (len(summary.fixed), len(summary.gone), len(summary.unjudged))
    assert (summary.new, summary.persisting, *ended) == counts


def test_the_teardown_of_an_item_is_no_second_finding(tmp_path: Path) -> None:
    baseline = baseline_of(tmp_path, FAIL)
    assert [baseline.drift_of("item", result(FAIL)) for _ in range(3)] == [Drift.PERSISTING] * 3
    assert baseline.drift_of("another", result(FAIL)) is Drift.NEW


@pytest.mark.parametrize(
    ("scope", "end"),
    [
        (RunScope(FLEET, FLEET, is_whole=True), "gone"),
        (RunScope(FLEET, FLEET, is_whole=False), "unjudged"),
        (RunScope(FLEET, FLEET, {"SITE-test_a"}, is_whole=True), "unjudged"),
        (RunScope(FLEET, frozenset({"kvm-b"}), is_whole=True), "unjudged"),
        (RunScope(frozenset({"kvm-b"}), frozenset({"kvm-b"}), is_whole=True), "gone"),
    ],
    ids=str,
)
def test_what_is_not_there_is_gone_only_where_it_was_looked_for(tmp_path: Path, scope: RunScope, end: str) -> None:
    summary = baseline_of(tmp_path, FAIL).summary([], frozenset(), scope)
    assert len(getattr(summary, end)) == len([*summary.gone, *summary.unjudged]) == 1


def test_nothing_is_gone_from_a_target_that_could_not_be_looked_at(tmp_path: Path) -> None:
    """An unreachable host tells nothing of its domains."""
    scope = RunScope(FLEET, FLEET, is_whole=True)
    ledger = Ledger(scope, Waivers([], date.min), baseline_of(tmp_path, FAIL))
    ledger.record("1", result(ERROR, "L0-LIB-01"))
    run = run_of()
    ledger.close(run)
    assert run.drift is not None
    assert (len(run.drift.gone), len(run.drift.unjudged)) == (0, 1)


def test_another_order_of_a_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    document = json.loads("".join(results_json(run_of(FAIL, PASS))))
    document["results"].reverse()
    path.write_text(json.dumps({**document, "added": 1}))
    assert load_baseline(path, FLEET).drift_of("1", result(FAIL)) is Drift.PERSISTING


def drifts(folder: Path, then: list[Result], now: list[Result]) -> tuple[list[Drift | None], tuple[int, ...]]:
    """Compare runs of these results; the drift of each, and how many are new, persist, are fixed and are gone."""
    folder.joinpath("results.json").write_text("".join(results_json(replace_results(run_of(), then))))
    ledger = Ledger(
        RunScope(FLEET, FLEET, is_whole=True), Waivers([], date.min), load_baseline(folder / "results.json", FLEET)
    )
    recorded = [ledger.record(each.check or str(number), each) for number, each in enumerate(now)]
    run = run_of()
    ledger.close(run)
    assert run.drift is not None
    ended = (len(run.drift.fixed), len(run.drift.gone))
    return [each.drift for each in recorded], (run.drift.new, run.drift.persisting, *ended)


def replace_results(run: Run, results: list[Result]) -> Run:
    run.results = ResultList(results)
    return run


def test_another_cause_is_a_new_finding(tmp_path: Path) -> None:
    """nested=0 was known; that the host will lose /dev/kvm is not."""
    off = replace(result(FAIL, "L0-PER-01"), cause=Cause.PERSISTED_OFF)
    invalid = replace(off, cause=Cause.PERSISTED_VALUE_INVALID)
    assert drifts(tmp_path, [off], [invalid]) == ([Drift.NEW], (1, 0, 0, 1))
    assert drifts(tmp_path, [off], [off]) == ([Drift.PERSISTING], (0, 1, 0, 0))


def of_check(outcome: Outcome, file: str) -> Result:
    return replace(result(outcome), check=f"checks/site/{file}::test_a[kvm-a]")


def test_two_site_checks_of_one_name_are_two(tmp_path: Path) -> None:
    """One is fixed, and the other one broke."""
    then = [of_check(FAIL, "test_x.py"), of_check(PASS, "test_y.py")]
    now = [of_check(PASS, "test_x.py"), of_check(FAIL, "test_y.py")]
    assert drifts(tmp_path, then, now) == ([Drift.FIXED, Drift.NEW], (1, 0, 1, 0))
    assert drifts(tmp_path, then, then) == ([Drift.PERSISTING, None], (0, 1, 0, 0))


def exposed(*identifiers: str) -> Result:
    evidence = tuple(Evidence(each, "open: upstream 6.1.176; fixed in 6.1.177") for each in identifiers)
    closed = Evidence("CVE-2026-1", "fixed: upstream 6.1.176; fixed in 6.1.175")
    found = result(FAIL, "L0-SEC-03")
    return replace(found, cause=Cause.ESCAPE_OPEN, evidence=(closed, *evidence))


@pytest.mark.parametrize(
    ("then", "now", "drift", "gone"),
    [
        (["CVE-2026-2"], ["CVE-2026-2"], Drift.PERSISTING, 0),
        (["CVE-2026-2", "CVE-2026-3"], ["CVE-2026-2"], Drift.PERSISTING, 0),
        (["CVE-2026-2"], ["CVE-2026-2", "CVE-2026-3"], Drift.NEW, 1),
        (["CVE-2026-2"], ["CVE-2026-3"], Drift.NEW, 1),
        (["CVE-2026-2"], ["CVE-2026-1"], Drift.NEW, 1),
    ],
)
def test_another_advisory_that_is_open_is_a_new_finding(
    tmp_path: Path, then: list[str], now: list[str], drift: Drift, gone: int
) -> None:
    past = run_of()
    past.results = ResultList([exposed(*then)])
    path = tmp_path / "results.json"
    path.write_text("".join(results_json(past)))
    baseline = load_baseline(path, FLEET)
    found = exposed(*now)
    assert baseline.drift_of("an item", found) is drift
    assert len(baseline.summary([found], frozenset(), RunScope(FLEET, FLEET, is_whole=True)).gone) == gone
