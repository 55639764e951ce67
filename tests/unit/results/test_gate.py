"""The gate's lines state what the exit status states, and nothing passes that was not evaluated."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.control import Severity
from nested_kvm.model.link import LinkName
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.formats.markdown import summary_markdown
from nested_kvm.reporting.gate import gate_lines
from nested_kvm.reporting.nagios import State, nagios_answer
from nested_kvm.reporting.verdict_text import verdict_line
from nested_kvm.results.diagnosis import Diagnosis, LinkState, SeenLink
from nested_kvm.results.drift import Drift
from nested_kvm.results.exit_status import exit_status
from nested_kvm.results.run import Result, ResultList, Run, TargetResult, Threshold
from nested_kvm.results.run_verdict import RunVerdict, conclude
from nested_kvm.results.scope import NotAsked


def target(name: str, level: TargetLevel = TargetLevel.L0, host: str | None = None, **more: Any) -> TargetResult:
    address = None if host else f"ssh://{name}"
    known = {"name": name, "level": level, "host": host, "address": address, "observed": host is None, "error": None}
    return TargetResult(**{**known, **more})


def run_of(*results: Result, error: str | None = None, **more: Any) -> Run:
    """A run of two hosts and a guest; what decides passed on the second host, and of the guest's domain."""
    targets = [
        target("kvm-a", observed=error is None, error=error),
        target("ci-1", TargetLevel.L1, "kvm-a"),
        target("kvm-b"),
    ]
    passed = [
        replace(result(Outcome.PASS, "ci-1", control="DOM-CPU-02"), message="it holds"),
        replace(result(Outcome.PASS, "kvm-b"), target="kvm-b"),
    ]
    started = datetime(2026, 1, 1, tzinfo=UTC)
    known: dict[str, Any] = {"complete": True, "targets": targets, **more}
    return Run("1", started, "0", "--hosts", results=ResultList([*results, *passed]), **known)


def result(
    outcome: Outcome = Outcome.FAIL,
    subject: str = "kvm-a",
    severity: Severity = Severity.HIGH,
    drift: Drift | None = None,
    control: str = "L0-PER-01",
) -> Result:
    """A result of a control that decides, as it was observed at kvm-a."""
    evidence = (Evidence("/etc/modprobe.d/kvm.conf:3", "options kvm_amd nested=y"),)
    return Result(
        control,
        "kvm-a",
        subject,
        outcome,
        severity,
        "A title.",
        "it fails",
        evidence=evidence,
        drift=drift,
        decides=True,
    )


GATE = Threshold(gate=True)


def test_nothing_passes_in_a_run_that_did_not_come_to_its_end() -> None:
    run = run_of(result(Outcome.PASS))
    run.complete, run.exit_status = False, 6
    assert list(gate_lines(run, GATE)) == [(f"{name}  INCOMPLETE", False) for name in ("kvm-a", "ci-1", "kvm-b")]
    state, text = nagios_answer(run, GATE)
    assert state is State.UNKNOWN
    assert "0 findings, the run ended before everything was evaluated, 3 of 3 targets blocked" in text
    run.exit_status = 0
    assert nagios_answer(run, GATE)[0] is State.UNKNOWN


@pytest.mark.parametrize(
    ("found", "threshold", "passes"),
    [
        (result(), GATE, False),
        (result(Outcome.ERROR), GATE, False),
        (result(Outcome.UNKNOWN), GATE, False),
        (result(Outcome.PASS), GATE, True),
        (result(Outcome.INFORMATIONAL), GATE, False),
        (result(), Threshold(Severity.CRITICAL, gate=True), True),
        (result(Outcome.ERROR), Threshold(Severity.CRITICAL, gate=True), False),
        (result(drift=Drift.PERSISTING), Threshold(gate=True, only_new=True), True),
        (result(drift=Drift.NEW), Threshold(gate=True, only_new=True), False),
        (result(), Threshold(gate=True, only_new=True), False),
        (result(subject="ci-1"), GATE, False),
    ],
    ids=str,
)
def test_a_line_passes_where_the_run_does(found: Result, threshold: Threshold, *, passes: bool) -> None:
    lines = list(gate_lines(run_of(found), threshold))
    assert lines[0][1] is passes
    status = exit_status(run_of(found), 1, threshold)
    assert (status == 0) is passes
    assert lines[2] == ("kvm-b  PASS", True)


def test_a_line_names_the_severest_reason_and_where_it_is() -> None:
    low = result(severity=Severity.LOW, control="L0-AAA-01")
    (line, _), *_ = gate_lines(run_of(low, result(Outcome.ERROR, control="L0-BBB-01"), result()), GATE)
    assert line == "kvm-a  BLOCK  L0-PER-01 it fails (/etc/modprobe.d/kvm.conf:3)"


def test_a_guest_is_blocked_by_what_its_host_says_of_its_domain() -> None:
    host, guest, _ = gate_lines(run_of(result(subject="ci-1", control="DOM-CPU-03")), GATE)
    assert guest == ("ci-1  BLOCK  DOM-CPU-03 it fails (/etc/modprobe.d/kvm.conf:3)", False)
    assert host[1] is False


def test_a_domain_that_only_shares_a_targets_name_does_not_block_it() -> None:
    *_, other = gate_lines(run_of(result(subject="kvm-b")), GATE)
    assert other == ("kvm-b  PASS", True)


def test_what_could_not_be_reached_blocks_though_nothing_was_asked_of_it() -> None:
    (line, passes), *_ = gate_lines(run_of(error="kvm-a: it cannot be reached"), GATE)
    assert (line, passes) == ("kvm-a  BLOCK  it cannot be reached", False)
    passed = run_of(result(Outcome.PASS), error="kvm-a: it cannot be reached")
    assert exit_status(passed, 0, GATE) == 1
    assert exit_status(passed, 0, Threshold()) == 6
    assert exit_status(passed, 0, Threshold(Severity.CRITICAL, only_new=True)) == 6


LEFT_OUT = [NotAsked("L0-KVM-04", "kvm-a", "kvm-a", "-k"), NotAsked("DOM-CPU-02", "kvm-a", "ci-1", "-k")]


def test_a_narrowed_run_never_passes() -> None:
    run = run_of(result(Outcome.PASS), not_asked=LEFT_OUT)
    assert [line for line, _ in gate_lines(run, GATE)] == [f"{name}  PARTIAL" for name in ("kvm-a", "ci-1", "kvm-b")]
    assert exit_status(run, 0, Threshold()) == 0
    run.exit_status = exit_status(run, 0, GATE)
    assert run.exit_status == 1
    assert verdict_line(run) == "PARTIAL: DOM-CPU-02, L0-KVM-04 were not asked of 2 subjects (-k)"
    assert "PARTIAL: DOM-CPU-02, L0-KVM-04 were not asked" in summary_markdown(run)
    assert not run.is_whole
    state, text = nagios_answer(run, GATE)
    assert state is State.UNKNOWN
    assert "PARTIAL" in text


def test_a_narrowed_run_that_found_something_says_both() -> None:
    run = run_of(result(), not_asked=LEFT_OUT, exit_status=1)
    assert verdict_line(run).startswith("NOT COMPLIANT; PARTIAL: DOM-CPU-02, L0-KVM-04 were not asked")


@pytest.mark.parametrize("status", [2, 3, 4, 5])
def test_nothing_passes_in_a_run_without_a_verdict(status: int) -> None:
    lines = list(gate_lines(run_of(result(Outcome.PASS), exit_status=status), GATE))
    assert {(line.partition("  ")[2], passes) for line, passes in lines} == {
        ("NOT CHECKED  the run has no verdict", False)
    }


@pytest.mark.parametrize("outcome", [Outcome.NOTAPPLICABLE, Outcome.NOTCHECKED, Outcome.INFORMATIONAL, None])
def test_a_target_of_which_nothing_that_decides_passed_does_not_pass(outcome: Outcome | None) -> None:
    """Controls that do not decide may pass; that is no answer."""
    other = replace(result(Outcome.PASS, control="L0-SEC-01"), decides=False)
    run = run_of(other, *([] if outcome is None else [result(outcome)]))
    (line, passes), *_ = gate_lines(run, GATE)
    assert (line, passes) == ("kvm-a  NOT CHECKED  no control that decides was evaluated", False)
    assert exit_status(run, 0, GATE) == 1


def test_a_domain_that_passes_does_not_answer_for_its_host() -> None:
    (line, passes), guest, _ = gate_lines(run_of(), GATE)
    assert (line, passes) == ("kvm-a  NOT CHECKED  no control that decides was evaluated", False)
    assert guest == ("ci-1  PASS", True)


def test_a_candidate_answers_for_a_host_of_which_nothing_is_asked() -> None:
    candidate = result(Outcome.PASS, "ci-new", control="DOM-CPU-02")
    run = run_of()
    run.results = ResultList([candidate])
    assert next(gate_lines(run, GATE))[1] is False
    run.candidates = ("ci-new",)
    assert next(gate_lines(run, GATE)) == ("kvm-a  PASS", True)
    run.results = ResultList([candidate, result(Outcome.NOTAPPLICABLE)])
    assert next(gate_lines(run, GATE))[1] is False


def test_where_nothing_that_decides_is_asked_what_was_asked_is_the_question() -> None:
    """A run of the controls of maintenance."""
    run = run_of()
    running = replace(result(Outcome.PASS, "ci-1", control="DOM-OPS-01"), decides=False)
    run.results = ResultList([running])
    assert [line for line, _ in gate_lines(run, GATE)] == [
        "kvm-a  PASS",
        "ci-1  PASS",
        "kvm-b  NOT CHECKED  no control that decides was evaluated",
    ]


@pytest.mark.parametrize(("nested", "passes"), [(Nested.REQUIRED, False), (Nested.FORBIDDEN, True)])
def test_a_guest_that_has_to_nest_does_not_pass_where_that_is_not_known(nested: Nested, *, passes: bool) -> None:
    links = (SeenLink(LinkName.L1_CPU, LinkState.UNSEEN, "the domain is shut off"),)
    diagnosis = Diagnosis("ci-1", "kvm-a", Answer.UNKNOWN, links, "the domain is shut off")
    run = run_of(result(Outcome.PASS), diagnoses=[diagnosis])
    run.targets[1] = replace(run.targets[1], policy=Policy(nested))
    line, passed = list(gate_lines(run, GATE))[1]
    assert passed is passes
    assert line.startswith("ci-1  PASS" if passes else "ci-1  UNKNOWN  whether it can nest is not known: the domain is")
    assert (exit_status(run, 0, GATE) == 0) is passes


def test_a_sites_check_that_was_skipped_does_not_pass() -> None:
    skipped = replace(result(Outcome.NOTCHECKED, control="SITE-test_a"), check="checks/site/test_a.py::test_a[kvm-a]")
    run = run_of(result(Outcome.PASS), skipped)
    (line, passes), *_ = gate_lines(run, GATE)
    assert (line, passes) == ("kvm-a  NOT CHECKED  SITE-test_a was skipped: it fails", False)
    assert exit_status(run, 0, Threshold()) == 0


@pytest.mark.parametrize(
    ("severity", "verdict"), [(Severity.MEDIUM, RunVerdict.COMPLIANT), (Severity.HIGH, RunVerdict.NOT_DECIDED)]
)
def test_an_unknown_that_matters_leaves_the_run_undecided(severity: Severity, verdict: RunVerdict) -> None:
    run = run_of(result(Outcome.PASS), result(Outcome.UNKNOWN, severity=severity, control="L0-PER-06"))
    run.exit_status = exit_status(run, 0, Threshold())
    assert run.exit_status == 0
    assert conclude(run).verdict is verdict


def test_an_answer_to_nagios_shows_where_it_was_cut() -> None:
    _, text = nagios_answer(run_of(replace(result(), message="x" * 200)), GATE)
    line = next(line for line in text.splitlines() if line.startswith("kvm-a BLOCK"))
    assert line.endswith("xxx...")
    assert "?" not in text
