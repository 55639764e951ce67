"""The gate's lines say what the exit status says."""

from datetime import UTC, datetime

import pytest

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.gate import gate_lines
from nested_kvm.reporting.nagios import State, nagios_answer
from nested_kvm.results.drift import Drift
from nested_kvm.results.run import Result, ResultList, Run, TargetResult, Threshold, exit_status


def run_of(*results: Result, error: str | None = None) -> Run:
    host = TargetResult("kvm-a", TargetLevel.L0, None, "ssh://kvm-a", observed=error is None, error=error)
    guest = TargetResult("ci-1", TargetLevel.L1, "kvm-a", None, observed=False, error=None)
    other = TargetResult("kvm-b", TargetLevel.L0, None, "ssh://kvm-b", observed=True, error=None)
    started = datetime(2026, 1, 1, tzinfo=UTC)
    return Run("1", started, "0", "--hosts", complete=True, targets=[host, guest, other], results=ResultList(results))


def result(
    outcome: Outcome = Outcome.FAIL,
    subject: str = "kvm-a",
    severity: Severity = Severity.HIGH,
    drift: Drift | None = None,
    control: str = "L0-PER-01",
) -> Result:
    evidence = (Evidence("/etc/modprobe.d/kvm.conf:3", "options kvm_amd nested=y"),)
    return Result(control, "kvm-a", subject, outcome, severity, "A title.", "it fails", evidence=evidence, drift=drift)


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
        (result(Outcome.INFORMATIONAL), GATE, True),
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
    host, guest, _ = gate_lines(run_of(result(subject="ci-1", control="DOM-CPU-02")), GATE)
    assert guest == ("ci-1  BLOCK  DOM-CPU-02 it fails (/etc/modprobe.d/kvm.conf:3)", False)
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
