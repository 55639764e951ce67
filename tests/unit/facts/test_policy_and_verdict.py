"""Policy, verdicts, and the exit status that follows from results."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.controls.judge import judge
from nested_kvm.errors import NotObserved
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Control, Level, Severity
from nested_kvm.model.policy import Guard, Nested, Persistence, Policy, Undeclared, guarded
from nested_kvm.model.verdict import Finding, Informed, NotApplicable, NotChecked, Outcome, Undecided, require
from nested_kvm.results.exit_status import exit_status
from nested_kvm.results.run import ExitStatus, Result, Threshold
from tests.support.bundles import bundle_of
from tests.support.made_runs import run_of

CONTROL = Control("L0-X-01", "It holds.", "Because.", Severity.HIGH, Level.L0)
SITE = Control("SITE-x", "It holds.", "", Severity.MEDIUM, Level.SITE)


def subject(policy: Policy | None = None) -> Subject:
    return Subject(Machine(bundle_of(uname="x86_64")), "kvm-a", policy or Policy())


@pytest.mark.parametrize("nested", [Nested.REQUIRED, Nested.FORBIDDEN])
def test_a_policy_chooses_by_its_polarity(nested: Nested) -> None:
    assert Policy(nested).either("on", "off") == ("on" if nested is Nested.REQUIRED else "off")


@pytest.mark.parametrize(
    ("is_fixed", "chosen"), [(Answer.YES, "on"), (Answer.NO, "off"), (Answer.UNKNOWN, None), (None, None)]
)
def test_a_guarded_policy_chooses_by_the_kernel(is_fixed: Answer | None, chosen: str | None) -> None:
    guard = None if is_fixed is None else Guard(is_fixed, "the kernel is 6.1.176")
    policy = Policy(Nested.GUARDED) if guard is None else guarded(Policy(Nested.GUARDED), guard)
    assert policy.may_be_required
    if chosen is None:
        with pytest.raises(Undecided, match="guarded"):
            policy.either("on", "off")
    else:
        assert policy.either("on", "off") == chosen


def test_the_remedy_of_a_kernel_that_is_not_known_to_be_fixed_forbids() -> None:
    assert not subject(Policy(Nested.GUARDED)).settled.policy.is_required
    assert subject(Policy(Nested.REQUIRED)).settled.policy.is_required


@pytest.mark.parametrize("undeclared", Undeclared)
def test_the_policy_of_an_undeclared_domain_binds_only_where_a_word_says_so(undeclared: Undeclared) -> None:
    policy = Policy(Nested.FORBIDDEN, Persistence.EXPLICIT, undeclared).of_undeclared_domain()
    assert policy.binding is (undeclared is not Undeclared.ANY)
    assert policy.may_be_required is (undeclared is not Undeclared.FORBIDDEN)


def test_a_requirement_that_holds_says_nothing_and_a_broken_one_says_why() -> None:
    require(True, Cause.NESTED_OFF, "never said")  # noqa: FBT003
    with pytest.raises(Finding, match="off") as broken:
        require(False, Cause.NESTED_OFF, "it is off")  # noqa: FBT003
    assert broken.value.cause is Cause.NESTED_OFF


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (None, Outcome.PASS),
        (Finding(Cause.NESTED_OFF, "off"), Outcome.FAIL),
        (Undecided("?"), Outcome.UNKNOWN),
        (NotApplicable("-"), Outcome.NOTAPPLICABLE),
        (NotChecked("-"), Outcome.NOTCHECKED),
        (Informed("seen"), Outcome.INFORMATIONAL),
        (NotObserved("gone"), Outcome.ERROR),
        (ZeroDivisionError("a defect"), Outcome.ERROR),
        (AssertionError("a control never relies on assert"), Outcome.ERROR),
        (KeyError("x"), Outcome.ERROR),
    ],
)
def test_what_a_check_raises_is_its_outcome_and_only_a_finding_fails(
    raised: Exception | None, outcome: Outcome
) -> None:
    assert judge(CONTROL, subject(), raised, {}).outcome is outcome


def test_a_sites_own_assertion_is_a_finding() -> None:
    assert judge(SITE, subject(), AssertionError("no"), {}).outcome is Outcome.FAIL


@pytest.mark.parametrize("raised", [None, Finding(Cause.NESTED_OFF, "off"), Undecided("?")])
def test_where_nothing_is_required_what_was_seen_is_only_told(raised: Exception | None) -> None:
    result = judge(CONTROL, subject(Policy(binding=False)), raised, {})
    assert (result.outcome, result.remediation) == (Outcome.INFORMATIONAL, ())


def test_where_nothing_is_required_what_could_not_be_seen_is_still_an_error() -> None:
    assert judge(CONTROL, subject(Policy(binding=False)), NotObserved("gone"), {}).outcome is Outcome.ERROR


def result(outcome: Outcome, severity: Severity = Severity.MEDIUM) -> Result:
    return Result("L0-X-01", "kvm-a", "kvm-a", outcome, severity, "It holds.", "It does.")


@pytest.mark.parametrize(
    ("outcomes", "plain", "gate"),
    [
        ("pass", 0, 0),
        ("pass notapplicable notchecked", 0, 0),
        ("informational", 0, 1),
        ("pass unknown", 0, 1),
        ("unknown", 0, 1),
        ("pass error", 6, 1),
        ("pass error unknown", 6, 1),
        ("error", 6, 1),
        ("fail error", 1, 1),
        ("pass fail", 1, 1),
        ("notapplicable notchecked", 4, 4),
        ("", 4, 4),
    ],
)
def test_the_exit_status_never_lies(outcomes: str, plain: int, gate: int) -> None:
    run = run_of(*(result(Outcome(word)) for word in outcomes.split()))
    run.targets = [target for target in run.targets if target.name == "kvm-a"]
    assert exit_status(run, 1, Threshold()) == plain
    assert exit_status(run, 1, Threshold(gate=True)) == gate


def test_a_run_that_did_not_judge_everything_is_not_compliant() -> None:
    run = run_of(result(Outcome.PASS))
    run.complete = False
    assert exit_status(run, 0, Threshold()) == 2


def test_a_finding_below_the_threshold_does_not_fail_the_run() -> None:
    for severity, fail_on in product(Severity, Severity):
        status = exit_status(run_of(result(Outcome.FAIL, severity), result(Outcome.PASS)), 1, Threshold(fail_on))
        assert status == (ExitStatus.FINDING if severity >= fail_on else ExitStatus.COMPLIANT)


@pytest.mark.parametrize("status", [2, 3, 4, 5])
def test_a_run_that_pytest_broke_off_keeps_pytests_status(status: int) -> None:
    assert exit_status(run_of(result(Outcome.PASS)), status, Threshold()) == status


@given(st.lists(st.sampled_from(Outcome)), st.sampled_from(Severity), st.booleans())
def test_no_run_is_compliant_with_a_blocking_outcome_or_without_any_judgement(
    outcomes: list[Outcome],
    fail_on: Severity,
    gate: bool,  # noqa: FBT001
) -> None:
    run = run_of(*(result(each, Severity.CRITICAL) for each in outcomes))
    status = exit_status(run, 0, Threshold(fail_on, gate))
    if status == ExitStatus.COMPLIANT:
        assert not {Outcome.FAIL, Outcome.ERROR} & set(outcomes)
        assert set(outcomes) - {Outcome.NOTAPPLICABLE, Outcome.NOTCHECKED}
        assert not (gate and Outcome.UNKNOWN in outcomes)
