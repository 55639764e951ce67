"""Exposure in every report: who, since when, with which guests, and the two ways out."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.exposure_text import (
    advisory_age_line,
    exposed_hosts,
    exposed_line,
    exposure_headline,
    proof_lines,
    still_showing,
)
from nested_kvm.reporting.formats.markdown import summary_markdown
from nested_kvm.reporting.html.opening import opening
from nested_kvm.reporting.nagios import State, nagios_answer
from nested_kvm.reporting.terminal import write_summary
from nested_kvm.results.exposure import CveExposure, HostExposure
from nested_kvm.results.run import Run, Threshold
from nested_kvm.results.run_verdict import conclude
from tests.support.made_runs import ERROR, FAIL, PASS, STARTED, run_of, scope

PROOF = Evidence("/proc/sys/kernel/version", "Debian 6.1.176-1")
OPEN = CveExposure("CVE-2026-53359", "Januscape", date(2026, 7, 4), Answer.NO, Answer.YES, "upstream 6.1.176", PROOF)
FIXED = replace(OPEN, id="CVE-2026-46113", name=None, is_fixed=Answer.YES, reason="upstream 6.1.176; fixed in 6.1.175")
REACH = "kvm_amd runs with nested=1; nested will be on: the kernel's default"
EXPOSED = HostExposure(
    "kvm-a", "6.1.0-50-amd64 (6.1.176-1)", REACH, (FIXED, OPEN), ("ci-1", "ci-2"), device_is_open=True
)
WRITTEN = ("CVE-2026-53359 (Januscape) since 2026-07-04", "ci-1, ci-2", "/dev/kvm", "6.1.0-50-amd64")


def run_with(*hosts: HostExposure, policy: Policy | None = None) -> Run:
    run = run_of(PASS, exposures=list(hosts), advisories_dated=STARTED.date())
    run.targets = [replace(target, policy=policy or Policy()) for target in run.targets]
    return run


def terminal(run: Run) -> str:
    lines: list[str] = []
    write_summary(run, lambda line, **_markup: lines.append(line), threshold=Threshold(), report=None)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("is_fixed", "reached", "state"),
    [
        (Answer.YES, Answer.YES, "fixed"),
        (Answer.YES, Answer.UNKNOWN, "fixed"),
        (Answer.NO, Answer.YES, "open"),
        (Answer.NO, Answer.NO, "closed"),
        (Answer.UNKNOWN, Answer.NO, "closed"),
        (Answer.NO, Answer.UNKNOWN, "undecided"),
        (Answer.UNKNOWN, Answer.YES, "undecided"),
        (Answer.UNKNOWN, Answer.UNKNOWN, "undecided"),
    ],
)
def test_the_state_of_an_advisory(is_fixed: Answer, reached: Answer, state: str) -> None:
    assert replace(OPEN, is_fixed=is_fixed, reached=reached).state == state


@pytest.mark.parametrize(
    ("cves", "state"),
    [
        ((FIXED, OPEN), "exposed"),
        ((FIXED, replace(OPEN, is_fixed=Answer.UNKNOWN)), "undecided"),
        ((FIXED, replace(OPEN, reached=Answer.NO)), "closed"),
        ((FIXED,), "fixed"),
    ],
)
def test_the_state_of_a_host(cves: tuple[CveExposure, ...], state: str) -> None:
    assert replace(EXPOSED, cves=cves).state == state


def test_one_line_says_who_since_when_and_with_which_guests() -> None:
    assert all(word in exposed_line(EXPOSED) for word in WRITTEN)
    assert "CVE-2026-46113" not in exposed_line(EXPOSED)


def test_the_oldest_fix_comes_first() -> None:
    later = replace(EXPOSED, target="kvm-0", cves=(replace(OPEN, published=date(2026, 8, 4)),))
    assert [host.target for host in exposed_hosts(run_with(later, EXPOSED))] == ["kvm-a", "kvm-0"]


def test_every_report_opens_with_it() -> None:
    run = run_with(EXPOSED)
    assert "EXPOSED: 1 host of 1, with fixes published since 2026-07-04" in exposure_headline(run)
    page = opening(run, scope(), None)
    for text in (terminal(run), summary_markdown(run).replace("&#45;", "-"), page):
        plain = text.replace("&#40;", "(").replace("&#41;", ")")
        assert "EXPOSED: 1 host of 1" in plain
        assert "two ways out" in plain.casefold()
        assert WRITTEN[0] in plain
    state, answer = nagios_answer(run, Threshold(gate=True))
    assert "1 exposed" in answer.splitlines()[0]
    assert "kvm-a runs 6.1.0-50-amd64" in answer.splitlines()[1]
    assert state is not State.CRITICAL, "the finding of L0-SEC-03 decides, not this line"


def test_a_fleet_that_is_not_exposed_says_nothing_of_it() -> None:
    for run in (run_with(), run_with(replace(EXPOSED, cves=(FIXED,)))):
        assert exposure_headline(run) == ""
        assert "EXPOSED" not in terminal(run) + summary_markdown(run) + opening(run, scope(), None)


def test_where_the_policy_is_guarded_each_host_shows_its_proof() -> None:
    run = run_with(EXPOSED, policy=Policy(Nested.GUARDED))
    lines = list(proof_lines(EXPOSED))
    assert "Debian 6.1.176-1" in lines[-1]
    assert "OPEN" in lines[-1]
    assert all(line in terminal(run) for line in lines)
    assert lines[-1] not in terminal(run_with(EXPOSED))
    assert "Debian 6.1.176-1" in opening(run, scope(), None)


def test_the_guests_that_keep_the_flag_are_one_list() -> None:
    inside = replace(FAIL, control="L1-CPU-01", target="ci-1", subject="ci-1", cause=Cause.FLAG_PRESENT)
    run = run_of(inside, status=1, exposures=[replace(EXPOSED, forbids=True)])
    assert still_showing(run) == ["ci-1", "ci-2 on kvm-a"]
    for text in (terminal(run), summary_markdown(run), opening(run, scope(), None)):
        assert "still show the flag until they are powered off and started" in text.casefold()
    assert still_showing(run_of(PASS, exposures=[EXPOSED])) == []


def test_a_hostile_name_is_printable_everywhere() -> None:
    run = run_with(replace(EXPOSED, target="\x1b[31m<b>", guests=("<img src=x onerror=alert(1)>",)))
    assert "\x1b" not in terminal(run) + summary_markdown(run) + opening(run, scope(), None)
    assert "<img src=x" not in opening(run, scope(), None) + summary_markdown(run)


@pytest.mark.parametrize(("days", "is_said"), [(60, False), (61, True)])
def test_old_advisory_data_is_said_in_every_report(days: int, *, is_said: bool) -> None:
    run = run_with()
    run.advisories_dated = STARTED.date() - timedelta(days=days)
    assert bool(advisory_age_line(run)) is is_said
    _, answer = nagios_answer(run, Threshold(gate=True))
    for text in (terminal(run), summary_markdown(run), opening(run, scope(), None), answer):
        assert (f"{days} days old" in text) is is_said


def test_the_headline_counts_what_was_not_decided() -> None:
    grave = replace(PASS, outcome=Outcome.UNKNOWN, severity=Severity.CRITICAL, message="nothing shows it")
    run = run_of(PASS, grave, replace(grave, severity=Severity.LOW), replace(ERROR, severity=Severity.HIGH), status=6)
    assert conclude(run).grave == 2
    assert "NOT DECIDED: 2 unknown, 1 error; 2 of them of severity high or critical" in terminal(run)
    assert "2 of severity high or critical" in opening(run, scope(), None)
    assert "2 of them of severity high or critical" in summary_markdown(run)
    state, answer = nagios_answer(run, Threshold(gate=True))
    assert state is State.UNKNOWN
    assert "not decided" in answer.splitlines()[0]
