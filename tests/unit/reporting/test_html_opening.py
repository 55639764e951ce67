"""What the report's opening says of a run, whatever the run came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from nested_kvm.model.control import Severity
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.model.verdict import Outcome
from nested_kvm.plugin.audit_session import AuditSession
from nested_kvm.plugin.html_report import HtmlReport
from nested_kvm.plugin.item_report import RESULT
from nested_kvm.reporting.html.fleet_map import Cell, fleet_maps
from nested_kvm.reporting.html.opening import opening
from nested_kvm.reporting.html.page import completed
from nested_kvm.reporting.html.summary import score
from nested_kvm.reporting.html.table import ROWS
from nested_kvm.results.drift import DriftSummary, PastFinding
from nested_kvm.results.run import Result, Run
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse
from tests.support.html_report import elements
from tests.support.made_runs import ERROR, FAIL, PASS, STARTED, WAIVER, run_of, run_with_everything, scope

UNKNOWN = replace(PASS, outcome=Outcome.UNKNOWN)
MARKUP = "<img src=x onerror=alert(1)>"


def text_of(run: Run, *policies: Policy, gate: bool = False) -> str:
    return " ".join(" ".join(elements(opening(run, scope(*policies, gate=gate), None)).texts).split())


@pytest.mark.parametrize(
    ("results", "status", "verdict"),
    [
        ([PASS], 0, "Compliant Every requirement that could be evaluated is met."),
        ([PASS, UNKNOWN], 0, "Not decided Something could not be inspected or determined:"),
        (
            [PASS, replace(FAIL, severity=Severity.LOW)],
            0,
            "Compliant There are findings, but none is low or more severe.",
        ),
        ([PASS, replace(FAIL, waiver=WAIVER)], 0, "Compliant Every finding is covered by a waiver."),
        ([PASS, FAIL], 1, "Not compliant 1 finding on 1 of 2 targets."),
        ([PASS, ERROR], 6, "Not decided Something could not be inspected or determined:"),
        ([], 4, "No verdict No control applies to any of the targets."),
        ([PASS], 2, "No verdict The run ended with exit status 2."),
    ],
)
def test_the_verdict_is_what_the_exit_status_says(results: Sequence[Result], status: int, verdict: str) -> None:
    assert text_of(run_of(*results, status=status)).startswith(verdict)


def test_a_run_that_fails_only_on_what_is_new_says_so() -> None:
    asked = replace(scope(), only_new=True)
    said = " ".join(" ".join(elements(opening(run_of(FAIL), asked, None)).texts).split())
    assert said.startswith("Compliant There are findings, but none is new since the baseline and low or more severe.")
    assert "Failure threshold new findings of severity low or higher" in said


def test_the_score_counts_what_could_not_be_seen_and_is_never_rounded_up() -> None:
    assert score(run_of(PASS, FAIL, ERROR, replace(PASS, outcome=Outcome.NOTAPPLICABLE))) == pytest.approx(33.3)
    assert score(run_of(*[PASS] * 2999, FAIL)) == pytest.approx(99.9)
    assert score(run_of(replace(PASS, outcome=Outcome.NOTCHECKED))) is None


def test_it_says_who_was_held_against_what_when_and_by_which_version() -> None:
    said = text_of(run_of(PASS), Policy(), Policy(), Policy(nested=Nested.FORBIDDEN))
    assert "1 host, 1 guest" in said
    assert "2 targets: nested required, persistence effective" in said
    assert "1 target: nested forbidden" in said
    assert "2026-03-01 12:00 UTC, 1 min 15 s" in said
    assert "nested-kvm-compliance 1.2.3, run an id" in said
    assert "fleet.yaml" in said
    assert "--gate" not in said


def test_what_was_not_looked_at_is_counted_apart() -> None:
    run = run_of(PASS)
    host, guest = run.targets
    refused = replace(host, name="kvm-b", observed=False, error="connection refused")
    run.targets = [host, refused, replace(guest, address=None, observed=False)]
    assert "2 hosts, 1 guest; 1 could not be inspected; 1 guest checked from the host only" in text_of(run)


def test_a_gate_is_said() -> None:
    assert "errors and unknowns block as well (--gate)" in text_of(run_of(PASS), gate=True)


def test_what_could_not_be_looked_at_is_no_finding() -> None:
    said = text_of(run_of(PASS, ERROR, status=6))
    assert "Findings None." in said
    assert "Could not be inspected" in said
    assert "permission denied" in said


def test_a_waived_finding_is_told_apart_with_its_end() -> None:
    said = text_of(run_of(PASS, replace(FAIL, waiver=WAIVER)))
    assert "Findings None that is not waived." in said
    assert "1 waived" in said
    assert "kvm_amd runs with nested=0" not in said[said.index("Findings None") : said.index("Targets")]
    assert said.rindex("kvm_amd runs with nested=0") > said.index("Waived findings")
    assert "L0-KVM-04 kvm-a waived until 2026-04-30" in said


def test_every_waiver_is_listed_with_what_came_of_it() -> None:
    said = text_of(run_with_everything())
    assert "L0-* kvm-* 2026-04-30 used 1 fixed in the next window Grace waivers.yaml:3" in said
    assert "DOM-CPU-02 kvm-* permanent stale matches nothing 0" in said
    assert "L0-* kvm-* 2026-01-31 expired 2" in said


def test_drift_is_shown_with_what_vanished() -> None:
    said = text_of(run_with_everything())
    assert "old.json, 2026-03-01 12:00 UTC" in said
    assert "1 new 1 persisting 1 fixed 1 gone" in said
    assert "1 target vanished" in said
    assert "critical L0-PER-01 kvm-b nested=y is invalid" in said
    assert "kvm-z" in said
    assert "kvm-a new kvm_amd runs with nested=0" in said


def test_without_a_baseline_nothing_is_said_of_it() -> None:
    said = text_of(run_of(PASS))
    assert "baseline" not in said
    assert "new only" not in said


def test_a_guest_has_one_row_for_what_its_host_and_it_say() -> None:
    of_host = replace(PASS, control="DOM-CPU-02", subject="ci-1")
    of_guest = replace(PASS, control="L1-CPU-01", target="ci-1", subject="ci-1")
    stranger = replace(PASS, control="DOM-CPU-02", subject="another")
    hosts, guests = fleet_maps(run_of(FAIL, of_host, of_guest, stranger))
    assert [(row.name, row.place) for row in hosts.rows] == [("kvm-a", None)]
    assert [(row.name, row.place) for row in guests.rows] == [("another", "kvm-a"), ("ci-1", "kvm-a")]
    assert [column.control for column in guests.columns] == ["DOM-CPU-02", "L1-CPU-01"]
    assert guests.rows[0].cells == (Cell(Outcome.PASS), None)
    assert hosts.rows[0].cells == (Cell(Outcome.FAIL, FAIL),)


def test_the_worst_rows_come_first() -> None:
    def of(target: str, outcome: Outcome) -> Result:
        return replace(PASS, target=target, subject=target, outcome=outcome)

    order = [Outcome.PASS, Outcome.UNKNOWN, Outcome.ERROR, Outcome.FAIL]
    run = run_of(*(of(f"host {number}", outcome) for number, outcome in enumerate(order)))
    (only,) = fleet_maps(run)
    assert [row.name for row in only.rows] == ["host 3", "host 2", "host 1", "host 0"]


def test_no_text_of_waivers_or_drift_is_markup() -> None:
    waiver = Waiver(MARKUP, MARKUP, MARKUP, MARKUP, MARKUP, None, MARKUP)
    past = PastFinding(MARKUP, MARKUP, MARKUP, Severity.LOW, MARKUP, MARKUP)
    drift = DriftSummary(MARKUP, MARKUP, STARTED, fixed=[past], gone=[past], unjudged=[past], vanished=[MARKUP])
    waived = replace(FAIL, target=MARKUP, subject=MARKUP, message=MARKUP, remediation=(MARKUP,), waiver=waiver)
    run = run_of(waived, waivers=[WaiverUse(waiver, WaiverState.USED, 1)], drift=drift)
    run.inventory = run.version = MARKUP
    page = elements(opening(run, scope(), None))
    assert "img" not in {tag for tag, _ in page.tags}
    assert "".join(page.texts).count(MARKUP) > 15


def test_the_table_stops_where_a_browser_would_be_slow() -> None:
    hooks = HtmlReport(cast("AuditSession", None), Path("report.html"))
    drawn = 0
    for _ in range(ROWS + 10):
        cells = ["<td>Failed</td>"]
        hooks.pytest_html_results_table_row(SimpleNamespace(**{RESULT: (FAIL, "L0")}), cells)
        drawn += bool(cells)
    assert drawn == ROWS
    assert f"Only the first {ROWS} findings are in this table" in text_of(run_of(*[FAIL] * (ROWS + 1)))


def test_a_page_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not a page of pytest-html"):
        completed("<html><body>something else")
