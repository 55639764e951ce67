"""Whether a target nests, now and after the next boot: never yes, and where it must not never no, against a control."""

from collections.abc import Iterator
from functools import cache

import pytest

from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Nested, Persistence
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.run import Run
from tests.integration.controls.test_fixed_causes import CASES, DEMO, case_of
from tests.support.problem_runs import run_of_fleet

NOW = frozenset({"L0-CPU-01", "L0-KVM-03", "L0-KVM-04"})
AFTER_BOOT = frozenset({"L0-CPU-01", "L0-PER-01", "L0-PER-05", "L0-PER-06", "L0-PER-07"})
BAD = frozenset({Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN})
IN_GUEST = frozenset({"L1-CPU-01", "L1-KVM-01"})


@cache
def run_of(name: str) -> Run:
    return run_of_fleet(case_of(name).fleet)


def outcomes(run: Run, target: str) -> dict[str, Outcome]:
    return {each.control: each.outcome for each in run.results.sorted_by_target() if each.subject == target}


def contradictions(run: Run, answer: NestingAnswer) -> Iterator[str]:
    """The controls that contradict an answer which is as the policy asks for: each would make it a false one."""
    wanted = {Nested.REQUIRED: Answer.YES, Nested.FORBIDDEN: Answer.NO}.get(answer.nested or Nested.GUARDED)
    (target,) = [each for each in run.targets if each.name == answer.target]
    explicit = target.policy is not None and target.policy.persistence is Persistence.EXPLICIT
    # There a file that is lost is a finding, although the kernel's default does the same.
    later = AFTER_BOOT - ({"L0-PER-07"} if explicit else set())
    seen = outcomes(run, answer.target)
    for asked, found in ((NOW if answer.host is None else IN_GUEST, answer.now), (later, answer.after_boot)):
        bad = [each for each in asked if seen.get(each) in BAD]
        if found is wanted:
            yield from (f"{answer.target}: {found}, and {each} is {seen[each]}" for each in bad)


@pytest.mark.parametrize("name", [*CASES, DEMO])
def test_no_control_contradicts_an_answer_that_complies(name: str) -> None:
    run = run_of(name)
    assert [line for answer in run.answers for line in contradictions(run, answer)] == []


@pytest.mark.parametrize("name", [*CASES, DEMO])
def test_a_guest_nests_after_the_boot_of_a_host_only_if_its_host_does(name: str) -> None:
    answers = {each.target: each for each in run_of(name).answers}
    guests = [each for each in answers.values() if each.host is not None and each.after_boot is Answer.YES]
    assert [each.target for each in guests if answers[each.host or ""].after_boot is not Answer.YES] == []


@pytest.mark.parametrize("name", [*CASES, DEMO])
def test_every_answer_that_does_not_comply_says_why(name: str) -> None:
    assert [each.target for each in run_of(name).answers if each.complies is not True and not _why(each)] == []


def _why(answer: NestingAnswer) -> str:
    return answer.source or answer.reason or ("" if answer.cause is None else answer.cause.code)


@pytest.mark.parametrize(
    ("name", "target", "now", "after_boot", "source"),
    [
        (DEMO, "kvm-02", "yes", "no", "/etc/modprobe.d/kvm-nested.conf:1"),
        (DEMO, "ci-5", "yes", "no", "/etc/modprobe.d/kvm-nested.conf:1"),
        (DEMO, "kvm-10", "yes", "yes", ""),
        (DEMO, "web-1", "no", "no", ""),
        (DEMO, "dmz-1", "yes", "yes", "/etc/modprobe.d/kvm-nested.conf:1"),
        (DEMO, "kvm-09", "yes", "unknown", None),
        ("amd-later-basename-wins", "amd-later-basename-wins", "yes", "no", "/lib/modprobe.d/99-x.conf:1"),
        ("amd-pair-nested-off", "amd-pair-nested-off", "no", "yes", None),
        ("amd-firmware-disabled", "amd-firmware-disabled", "no", "no", "dmesg"),
        (DEMO, "kvm-07", "unknown", "unknown", None),
    ],
)
def test_the_answers_of_recorded_machines(
    name: str, target: str, now: str, after_boot: str, source: str | None
) -> None:
    (answer,) = [each for each in run_of(name).answers if each.target == target]
    assert (answer.now, answer.after_boot) == (now, after_boot), answer.reason
    assert source is None or (answer.source if answer.complies is False else "") == source
