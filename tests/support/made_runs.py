"""Runs as they might have come out, with a result of every kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.policy import Policy
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.html.summary import ReportContext, policies_of
from nested_kvm.results.drift import Drift, DriftSummary, PastFinding
from nested_kvm.results.problems import problems_of
from nested_kvm.results.run import Result, ResultList, Run, TargetResult
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse

STARTED: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAIL: Final = Result(
    "L0-KVM-04",
    "kvm-a",
    "kvm-a",
    Outcome.FAIL,
    Severity.HIGH,
    "The running KVM module offers nested virtualization.",
    "kvm_amd runs with nested=0",
    Cause.NESTED_OFF,
    (Evidence("/sys/module/kvm_amd/parameters/nested", "0"),),
    ("modprobe -r kvm_amd && modprobe kvm_amd",),
)
PASS: Final = replace(FAIL, control="L0-KVM-01", outcome=Outcome.PASS, cause=None, evidence=(), remediation=())
ERROR: Final = replace(PASS, control="L0-KVM-02", outcome=Outcome.ERROR, message="permission denied")
WAIVER: Final = Waiver("L0-*", "kvm-*", None, "fixed in the next window", "Grace", date(2026, 4, 30), "waivers.yaml:3")
PAST: Final = PastFinding("L0-PER-01", "kvm-b", "kvm-b", Severity.CRITICAL, "a title", "nested=y is invalid")
TARGETS: Final = (
    TargetResult(name="kvm-a", level=TargetLevel.L0, host=None, address="ssh://kvm-a", observed=True, error=None),
    TargetResult(name="ci-1", level=TargetLevel.L1, host="kvm-a", address="ssh://ci-1", observed=True, error=None),
)


def run_of(*results: Result, status: int = 0, started: datetime = STARTED, **more: Any) -> Run:
    """Make a run of 75 seconds that came to these results."""
    made = Run("an id", started, "1.2.3", "fleet.yaml", results=ResultList(results), targets=list(TARGETS), **more)
    made.finished, made.exit_status, made.complete = started + timedelta(seconds=75), status, True
    made.problems = problems_of(made)
    return made


def run_with_everything() -> Run:
    """A new finding, one that persists, a waived one, and the drift of others."""
    stale = replace(WAIVER, control="DOM-CPU-02", expires=None)
    expired = replace(WAIVER, expires=date(2026, 1, 31))
    return run_of(
        PASS,
        ERROR,
        replace(FAIL, drift=Drift.NEW),
        replace(FAIL, target="kvm-b", subject="kvm-b", drift=Drift.PERSISTING),
        replace(FAIL, target="kvm-c", subject="kvm-c", waiver=WAIVER),
        replace(PASS, control="L0-SEC-01", outcome=Outcome.INFORMATIONAL, message="seen, and nothing is required"),
        status=1,
        waivers=[
            WaiverUse(WAIVER, WaiverState.USED, 1),
            WaiverUse(stale, WaiverState.MATCHES_NOTHING),
            WaiverUse(expired, WaiverState.EXPIRED, 2),
        ],
        drift=DriftSummary("old.json", "id", STARTED, 1, 1, fixed=[PAST], gone=[PAST], vanished=["kvm-z"]),
    )


def scope(*policies: Policy, gate: bool = False) -> ReportContext:
    """What such a run was asked."""
    return ReportContext(policies_of(policies or [Policy()]), Severity.LOW, gate)
