"""The last day of a waiver, and what it covers."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nested_kvm.errors import UsageError
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.formats.hdf import hdf_json
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.reporting.formats.junit import junit_xml
from nested_kvm.reporting.formats.markdown import summary_markdown
from nested_kvm.reporting.formats.sarif import sarif_json
from nested_kvm.reporting.gate import counts_line
from nested_kvm.reporting.lines import waivers_to_fix
from nested_kvm.reporting.verdict_text import verdict_line
from nested_kvm.results.run import Result, Threshold
from nested_kvm.results.run_verdict import RunVerdict, conclude
from nested_kvm.results.schema_file import ResultsFile
from nested_kvm.results.scope import RunScope
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse
from nested_kvm.results.waiver_file import load_waivers
from nested_kvm.results.waivers import Waivers
from tests.support.made_runs import FAIL as FOUND
from tests.support.made_runs import PASS, run_of

LAST = date(2026, 3, 31)


def waiver(target: str = "kvm-*", subject: str | None = None, expires: date | None = LAST) -> Waiver:
    return Waiver("DOM-*", target, subject, "known", "ops", expires, "waivers.yaml:2")


def finding(target: str = "kvm-a", subject: str = "ci-1", outcome: Outcome = Outcome.FAIL) -> Result:
    return Result("DOM-CPU-02", target, subject, outcome, Severity.HIGH, "A title.", "a message")


@pytest.mark.parametrize(
    ("day", "holds"), [(date(2026, 3, 30), True), (LAST, True), (date(2026, 4, 1), False), (date.max, False)]
)
def test_it_holds_to_the_end_of_its_last_day(day: date, *, holds: bool) -> None:
    result = Waivers([waiver()], day).answer_for(finding())
    assert result.is_open_finding is not holds
    assert ("its waiver expired on 2026-03-31" in result.message) is not holds


def test_a_permanent_one_holds_for_ever() -> None:
    assert not Waivers([waiver(expires=None)], date.max).answer_for(finding()).is_open_finding


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.FAIL])
def test_only_a_finding_is_waived(outcome: Outcome) -> None:
    result = finding(outcome=outcome)
    assert Waivers([waiver()], LAST).answer_for(result) == result


@pytest.mark.parametrize(
    ("given", "covers"),
    [
        (waiver("kvm-a"), True),
        (waiver("kvm-[ab]"), True),
        (waiver("KVM-A"), False),
        (waiver("ci-1"), False),
        (waiver(subject="ci-?"), True),
        (waiver(subject="ci"), False),
        (waiver(subject="kvm-a"), False),
    ],
    ids=str,
)
def test_it_covers_what_its_patterns_match(given: Waiver, *, covers: bool) -> None:
    assert Waivers([given], LAST).answer_for(finding()).is_open_finding is not covers


def test_one_that_holds_comes_before_one_that_is_over() -> None:
    result = Waivers([waiver(expires=date.min), waiver()], LAST).answer_for(finding())
    assert result.waiver == waiver()
    assert result.message == "a message"


def of_cause(cause: Cause | None) -> Result:
    return replace(finding(), cause=cause)


def test_a_waiver_of_one_cause_does_not_cover_another() -> None:
    """nested=0 was accepted; that the module will not load at all was not."""
    given = replace(waiver(), cause=Cause.PERSISTED_OFF.code)
    waivers = Waivers([given], LAST)
    assert waivers.answer_for(of_cause(Cause.PERSISTED_OFF)).waiver == given
    other = waivers.answer_for(of_cause(Cause.PERSISTED_VALUE_INVALID))
    assert other.is_open_finding
    assert other.message == "a message; its waiver accepts another cause, persisted-off (waivers.yaml:2)"
    scope = RunScope(is_whole=True)
    assert waivers.uses([other], scope) == [WaiverUse(given, WaiverState.OTHER_CAUSE, 0)]
    assert waivers.uses([other, of_cause(Cause.PERSISTED_OFF)], scope) == [WaiverUse(given, WaiverState.USED, 1)]


def lacking(*advisories: str, cause: Cause = Cause.ESCAPE_OPEN) -> Result:
    evidence = [Evidence("/proc/version", "6.1"), *(Evidence(each, "open: upstream 6.1.176") for each in advisories)]
    return replace(of_cause(cause), evidence=(*evidence, Evidence("CVE-2025-1", "fixed: 6.1.9")))


def test_a_waiver_of_advisories_does_not_cover_what_is_published_later() -> None:
    given = replace(waiver(), advisories=("CVE-2026-1", "CVE-2026-2"))
    waivers, scope = Waivers([given], LAST), RunScope(is_whole=True)
    assert waivers.answer_for(lacking("CVE-2026-1")).waiver == given
    assert waivers.answer_for(lacking("CVE-2026-2", "CVE-2026-1")).waiver == given
    later = waivers.answer_for(lacking("CVE-2026-1", "CVE-2026-3"))
    assert (later.waiver, later.is_open_finding) == (None, True)
    assert later.message == "a message; its waiver does not accept CVE-2026-3 (waivers.yaml:2)"
    assert waivers.uses([later], scope) == [WaiverUse(given, WaiverState.OTHER_CAUSE, 0)]
    assert "another cause than CVE-2026-1, CVE-2026-2" in next(waivers_to_fix(waivers.uses([later], scope)))
    assert waivers.uses([lacking("CVE-2026-1")], scope) == [WaiverUse(given, WaiverState.USED, 1)]
    assert waivers.answer_for(of_cause(Cause.PERSISTED_OFF)).is_open_finding, "no advisory is about it"


def test_a_waiver_of_advisories_and_a_cause_needs_both() -> None:
    given = replace(waiver(), cause=Cause.ESCAPE_OPEN_AFTER_BOOT.code, advisories=("CVE-2026-1",))
    assert Waivers([given], LAST).answer_for(lacking("CVE-2026-1")).is_open_finding
    later = lacking("CVE-2026-1", cause=Cause.ESCAPE_OPEN_AFTER_BOOT)
    assert Waivers([given], LAST).answer_for(later).waiver == given


def test_the_advisories_of_a_waiver_are_stored() -> None:
    given = replace(waiver(), advisories=("CVE-2026-1",))
    document = json.loads("".join(results_json(run_of(replace(lacking("CVE-2026-1"), waiver=given)))))
    assert document["results"][0]["waiver"]["advisories"] == ["CVE-2026-1"]
    (row,) = ResultsFile.model_validate(document).results
    assert row.result().waiver == given


def test_an_unknown_is_accepted_only_by_a_waiver_that_says_so() -> None:
    unknown = finding(outcome=Outcome.UNKNOWN)
    gate = Threshold(gate=True)
    given = replace(waiver(), accepts_unknown=True)
    accepted = Waivers([waiver(), given], LAST).answer_for(unknown)
    assert (accepted.waiver, gate.blocks(accepted)) == (given, False)
    refused = Waivers([waiver()], LAST).answer_for(unknown)
    assert (refused.waiver, gate.blocks(refused)) == (None, True)
    late = Waivers([given], date.max).answer_for(unknown)
    assert (late.waiver, gate.blocks(late)) == (None, True)
    assert late.message == "a message; its waiver expired on 2026-03-31 (waivers.yaml:2, approved by ops)"


def test_a_waiver_of_an_unknown_hides_no_finding() -> None:
    given = replace(waiver(), accepts_unknown=True)
    assert Waivers([given], LAST).answer_for(finding()).is_open_finding


def test_an_accepted_unknown_is_marked_as_such_in_the_reports() -> None:
    given = replace(waiver(), accepts_unknown=True)
    accepted = replace(FOUND, outcome=Outcome.UNKNOWN, cause=None, remediation=(), waiver=given)
    run = run_of(PASS, accepted, status=0)
    mark = "unknown accepted until 2026-03-31 by ops: known"
    assert conclude(run).verdict is RunVerdict.COMPLIANT
    assert verdict_line(run) == "COMPLIANT (1 unknown accepted)"
    assert "(1 unknown accepted)" in counts_line(run)
    for report in ("".join(junit_xml(run)), "".join(hdf_json(run)), "".join(sarif_json(run)), summary_markdown(run)):
        assert mark in report
    document = json.loads("".join(results_json(run)))
    assert document["run"]["counts"] == {"findings": 0, "undecided": 0}
    assert [each["waiver"] and each["waiver"]["accepts"] for each in document["results"]] == [None, "unknown"]
    assert {row.result() for row in ResultsFile.model_validate(document).results} == {PASS, accepted}


def load(folder: Path, **keys: object) -> list[Waiver]:
    entry = {"control": "L0-*", "target": "kvm-a", "reason": "known", "approver": "ops", **keys}
    path = folder / "waivers.yaml"
    path.write_text(json.dumps({"waivers": [entry]}, indent=1))
    return load_waivers(path)


def test_cause_and_unknown_are_read_from_the_file(tmp_path: Path) -> None:
    (of_one,) = load(tmp_path, cause="persisted-off", permanent=True)
    assert (of_one.cause, of_one.accepts_unknown) == ("persisted-off", False)
    (unknown,) = load(tmp_path, accepts="unknown", expires="2026-03-31")
    assert (unknown.cause, unknown.accepts_unknown) == (None, True)
    (narrow,) = load(tmp_path, advisories=["CVE-2026-1"], permanent=True)
    assert narrow.advisories == ("CVE-2026-1",)


@pytest.mark.parametrize("key", ["subject", "cause", "accepts", "advisories", "until"])
def test_an_empty_key_makes_no_waiver_a_wider_one(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match=rf"waivers\.0\.{key}: is empty: give it a value, or leave it out"):
        load(tmp_path, **{"permanent": True, key: None})


@pytest.mark.parametrize("end", [{"until": "fixed"}, {"permanent": True}])
def test_an_empty_end_makes_no_waiver_a_longer_one(tmp_path: Path, end: Mapping[str, object]) -> None:
    with pytest.raises(UsageError, match=r"waivers\.0: .*`expires` is empty: write the last day"):
        load(tmp_path, expires=None, **end)
    assert len(load(tmp_path, **end)) == 1


@pytest.mark.parametrize(
    ("keys", "line", "reason"),
    [
        ({"permanent": True, "cause": "persisted-of"}, 9, "'persisted-of' is not a known cause: did you mean"),
        ({"permanent": True, "accepts": "unknown"}, 9, "needs an end"),
        ({"permanent": True, "advisories": []}, 9, "advisories"),
        ({"permanent": True, "advisories": "CVE-2026-1"}, 9, "advisories"),
        (
            {"expires": "2026-03-31", "accepts": "unknown", "advisories": ["CVE-2026-1"]},
            10,
            "it is not known what is open",
        ),
        ({"expires": "2026-03-31", "accepts": "error"}, 9, "accepts"),
        ({"expires": "2026-03-31", "cause": "persisted-off", "accepts": "unknown"}, 10, "an unknown has no cause"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, keys: dict[str, object], line: int, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        load(tmp_path, **keys)
    assert f"waivers.yaml:{line}: " in str(raised.value)
    assert reason in str(raised.value)
