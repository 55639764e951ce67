"""Waivers that end when what they cover is fixed, and the warning before any waiver's last day."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from nested_kvm.errors import UsageError
from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.reporting.formats.markdown import summary_markdown
from nested_kvm.reporting.html.opening import opening
from nested_kvm.reporting.lines import end_of, waivers_ending, waivers_to_fix
from nested_kvm.reporting.nagios import nagios_answer
from nested_kvm.results.baseline import Baseline, load_baseline
from nested_kvm.results.run import Result, ResultList, Run, Threshold
from nested_kvm.results.schema_file import ResultsFile
from nested_kvm.results.scope import RunScope
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse
from nested_kvm.results.waiver_file import load_waivers
from nested_kvm.results.waivers import Waivers
from tests.support.made_runs import STARTED, run_of, scope

TODAY = STARTED.date()
FLEET = frozenset({"kvm-a", "ci-1"})
UNTIL_FIXED = Waiver("L0-SEC-03", "kvm-a", None, "window", "ops", None, "waivers.yaml:2", until_fixed=True)
OPEN = Result("L0-SEC-03", "kvm-a", "kvm-a", Outcome.FAIL, Severity.CRITICAL, "A title.", "open: CVE-2026-53359")
FIXED = replace(OPEN, outcome=Outcome.PASS, message="A title.")


def earlier(folder: Path, result: Result, *uses: WaiverUse) -> Baseline:
    run = run_of(result, status=1)
    run.waivers = list(uses)
    file = folder / "results.json"
    file.write_text("".join(results_json(run)))
    ResultsFile.model_validate_json(file.read_text())
    return load_baseline(file, FLEET)


def state(result: Result, baseline: Baseline | None = None) -> WaiverState:
    waivers = Waivers([UNTIL_FIXED], TODAY, baseline)
    (use,) = waivers.uses([waivers.answer_for(result)], RunScope(FLEET, FLEET, is_whole=True))
    return use.state


def test_it_accepts_the_finding_until_it_is_fixed() -> None:
    assert not Waivers([UNTIL_FIXED], date.max).answer_for(OPEN).is_open_finding
    assert state(OPEN) is WaiverState.USED
    assert state(FIXED) is WaiverState.CONTROL_PASSES
    assert end_of(UNTIL_FIXED) == "until it is fixed"
    lines = list(waivers_to_fix([WaiverUse(UNTIL_FIXED, WaiverState.CONTROL_PASSES)]))
    assert "has ended: what it covers passes" in lines[0]


def test_what_comes_back_after_it_was_fixed_counts(tmp_path: Path) -> None:
    seen = earlier(tmp_path, FIXED, WaiverUse(UNTIL_FIXED, WaiverState.CONTROL_PASSES))
    result = Waivers([UNTIL_FIXED], TODAY, seen).answer_for(OPEN)
    assert result.is_open_finding
    assert "its waiver ended when this was fixed" in result.message
    assert state(OPEN, seen) is WaiverState.EXPIRED


def test_what_came_back_goes_on_to_count(tmp_path: Path) -> None:
    seen = earlier(tmp_path, OPEN, WaiverUse(UNTIL_FIXED, WaiverState.EXPIRED, 1))
    assert Waivers([UNTIL_FIXED], TODAY, seen).answer_for(OPEN).is_open_finding


def test_a_new_waiver_of_what_passed_before_holds(tmp_path: Path) -> None:
    assert not Waivers([UNTIL_FIXED], TODAY, earlier(tmp_path, FIXED)).answer_for(OPEN).is_open_finding


def test_one_that_was_used_before_holds(tmp_path: Path) -> None:
    seen = earlier(tmp_path, replace(OPEN, waiver=UNTIL_FIXED), WaiverUse(UNTIL_FIXED, WaiverState.USED, 1))
    assert not Waivers([UNTIL_FIXED], TODAY, seen).answer_for(OPEN).is_open_finding


ENTRY = "waivers:\n  - control: L0-SEC-03\n    target: kvm-a\n    reason: window\n    approver: ops\n"


@pytest.mark.parametrize(
    ("more", "until_fixed", "expires"),
    [
        ("    until: fixed\n", True, None),
        ("    until: fixed\n    expires: 2027-01-31\n", True, date(2027, 1, 31)),
        ("    expires: 2027-01-31\n", False, date(2027, 1, 31)),
    ],
)
def test_a_file_says_so(tmp_path: Path, more: str, expires: date | None, *, until_fixed: bool) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(ENTRY + more)
    (found,) = load_waivers(file)
    assert (found.until_fixed, found.expires) == (until_fixed, expires)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "is missing: write the last day on which it holds, `until: fixed`, or `permanent: true`"),
        ("    until: never\n", "until"),
        ("    until: fixed\n    permanent: true\n", "contradicts `permanent: true`"),
        ("    until: fixed\n    accepts: unknown\n", "needs an end"),
    ],
)
def test_a_bad_end_is_refused(tmp_path: Path, more: str, said: str) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(ENTRY + more)
    with pytest.raises(UsageError) as refused:
        load_waivers(file)
    assert said in str(refused.value)


def with_waiver(days: int) -> Run:
    waiver = replace(UNTIL_FIXED, until_fixed=False, expires=TODAY + timedelta(days=days))
    run = run_of(replace(OPEN, waiver=waiver), status=0)
    run.results = ResultList([replace(OPEN, waiver=waiver)])
    run.waivers = [WaiverUse(waiver, WaiverState.USED, 1)]
    return run


@pytest.mark.parametrize(("days", "warned"), [(-1, False), (0, True), (1, True), (14, True), (15, False)])
def test_every_report_warns_of_a_waiver_that_ends_soon(days: int, *, warned: bool) -> None:
    run = with_waiver(days)
    assert bool(list(waivers_ending(run))) is warned
    _, answer = nagios_answer(run, Threshold(gate=True))
    for text in (summary_markdown(run), opening(run, scope(), None), answer):
        assert ("for kvm-a ends " in text.replace("&#45;", "-")) is warned
