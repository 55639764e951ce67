"""The last day of a waiver, and what it covers."""

from datetime import date

import pytest

from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.run import Result
from nested_kvm.results.waiver import Waiver
from nested_kvm.results.waivers import Waivers

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
