"""Findings brought together, whatever a run may hold: each in exactly one problem, and the same whatever the order."""

from dataclasses import replace
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.cause import Cause
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.model.severity import Severity
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.results.problem import Part, Problem, Role
from nested_kvm.results.problems import problems_of, ref_of
from nested_kvm.results.run import Result, ResultList, Run, TargetResult
from tests.support.made_runs import FAIL, STARTED

CONTROLS: Final = (
    "L0-KVM-01",
    "L0-KVM-03",
    "L0-KVM-04",
    "L0-PER-01",
    "L0-PER-06",
    "L1-CPU-01",
    "DOM-CPU-02",
    "PAIR-01",
)
NAMES: Final = ("kvm-a", "kvm-b", "ci-1", "ci-2", "lost")
FINDINGS: Final = st.lists(
    st.builds(
        lambda control, target, subject, cause, severity: replace(
            FAIL, control=control, target=target, subject=subject, cause=cause, severity=severity
        ),
        st.sampled_from([*CONTROLS, "PAIR-01"]),
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
        st.sampled_from([None, *Cause]),
        st.sampled_from(Severity),
    ),
    max_size=30,
    unique_by=ref_of,
)


def target(name: str, host: str | None = None, nested: Nested = Nested.REQUIRED) -> TargetResult:
    level = TargetLevel.L0 if host is None else TargetLevel.L1
    return TargetResult(
        name=name, level=level, host=host, address="ssh://x", observed=True, error=None, policy=Policy(nested)
    )


FLEET: Final = (target("kvm-a"), target("kvm-b"), target("ci-1", "kvm-a"), target("ci-2", "kvm-a"))


def problems(*results: Result, fleet: tuple[TargetResult, ...] = FLEET) -> list[Problem]:
    run = Run("id", STARTED, "0", "x.yaml", results=ResultList(results), targets=list(fleet))
    return list(problems_of(run))


def found(cause: Cause, where: str, control: str = "L0-KVM-04", subject: str | None = None) -> Result:
    return replace(FAIL, cause=cause, target=where, subject=subject or where, control=control)


@given(FINDINGS)
def test_every_finding_is_in_exactly_one_problem(results: list[Result]) -> None:
    refs = [ref for problem in problems(*results) for ref in problem.findings]
    assert sorted(refs) == sorted(map(ref_of, results))


@given(FINDINGS, st.randoms())
def test_neither_the_problems_nor_their_ids_depend_on_an_order(results: list[Result], random: object) -> None:
    turned = list(results)
    random.shuffle(turned)  # type: ignore[attr-defined]
    assert problems(*turned) == problems(*results)
    assert len({each.id for each in problems(*results)}) == len(problems(*results))


@given(FINDINGS)
def test_a_guest_is_freed_once_and_last_by_what_holds_it_back(results: list[Result]) -> None:
    order = problems(*results)
    held = {guest: number for number, each in enumerate(order) for guest in each.held_back}
    assert {guest: number for number, each in enumerate(order) for guest in each.frees} == held


def test_the_role_of_a_finding_is_known() -> None:
    off, missing = found(Cause.NESTED_OFF, "kvm-a"), found(Cause.FLAG_MISSING, "ci-1", "L1-CPU-01")
    run = Run("id", STARTED, "0", "x.yaml", results=ResultList([off, missing]), targets=list(FLEET))
    known = problems_of(run)
    roles = {ref: known.of(ref) for ref in map(ref_of, (off, missing))}
    assert [each and each[1] for each in roles.values()] == [Role.CAUSE, Role.CONSEQUENCE]
    assert known.of(ref_of(replace(off, control="L0-KVM-99"))) is None


def test_a_cause_that_no_rule_knows_is_a_problem_by_itself() -> None:
    found_ones = problems(found(Cause.NESTED_OFF, "kvm-a"), found(Cause.MITIGATION_MISSING, "kvm-a", "L0-SEC-01"))
    assert [(each.cause, each.consequences) for each in found_ones] == [
        (Cause.NESTED_OFF, ()),
        (Cause.MITIGATION_MISSING, ()),
    ]


def test_the_file_that_a_value_stands_in_is_the_cause_of_the_value_that_runs() -> None:
    line = (Evidence("/etc/modprobe.d/kvm.conf:3", "options kvm_amd nested=0"),)
    persisted = replace(found(Cause.PERSISTED_OFF, "kvm-a", "L0-PER-01"), evidence=line)
    (problem,) = problems(found(Cause.NESTED_OFF, "kvm-a"), persisted)
    assert (problem.cause, problem.place.part, problem.place.source) == (Cause.PERSISTED_OFF, Part.FILE, line[0].source)
    assert list(problem.commands) == list(FAIL.remediation), "the running value's commands change the file as well"
    assert not problem.boot_makes_worse, "it is off already"
    assert problem.holds_back_now == ("ci-1", "ci-2")


def test_what_breaks_at_the_next_boot_only_says_so() -> None:
    (problem,) = problems(found(Cause.PERSISTED_OFF, "kvm-a", "L0-PER-01"))
    assert (problem.holds_back_now, problem.holds_back_after_boot) == ((), ("ci-1", "ci-2"))
    assert problem.boot_makes_worse
    assert problem.is_of_next_boot


def test_a_guest_that_must_not_nest_is_not_held_back() -> None:
    fleet = (target("kvm-a"), target("ci-1", "kvm-a", Nested.FORBIDDEN), target("ci-2", "kvm-a"))
    (problem,) = problems(found(Cause.NESTED_OFF, "kvm-a"), fleet=fleet)
    assert problem.holds_back_now == ("ci-2",)


def test_another_host_explains_nothing() -> None:
    found_ones = problems(found(Cause.NESTED_OFF, "kvm-b"), found(Cause.FLAG_MISSING, "ci-1", "L1-CPU-01"))
    assert [(each.cause, each.held_back) for each in found_ones] == [
        (Cause.FLAG_MISSING, ("ci-1",)),
        (Cause.NESTED_OFF, ()),
    ]


def test_a_load_that_failed_for_another_reason_is_not_blamed_on_a_value() -> None:
    value = found(Cause.PERSISTED_VALUE_INVALID, "kvm-a", "L0-PER-01")
    failed = found(Cause.MODULE_LOAD_FAILED, "kvm-a", "L0-KVM-03")
    refusal = replace(failed, evidence=(Evidence("dmesg", "kvm_amd: Unknown symbol irq_bypass (err -2)"),))
    assert len(problems(value, refusal)) == 2
    refusal = replace(failed, evidence=(Evidence("dmesg", "kvm_amd: `y' invalid for parameter `nested'"),))
    assert len(problems(value, refusal)) == 1


def test_a_guarded_policy_blames_the_kernel_and_a_forbidding_one_the_value() -> None:
    open_kernel, on = found(Cause.ESCAPE_OPEN, "kvm-a", "L0-SEC-03"), found(Cause.NESTED_ON, "kvm-a")
    guarded = (target("kvm-a", nested=Nested.GUARDED),)
    assert [each.cause for each in problems(open_kernel, on, fleet=guarded)] == [Cause.ESCAPE_OPEN]
    assert len(problems(open_kernel, on, fleet=(target("kvm-a", nested=Nested.FORBIDDEN),))) == 2


def test_errors_and_unknowns_are_in_no_problem() -> None:
    assert problems(replace(FAIL, outcome=Outcome.ERROR, cause=None), replace(FAIL, outcome=Outcome.UNKNOWN)) == []


def test_what_has_to_be_off_first_is_named_from_the_commands() -> None:
    lines = ("virsh shutdown 'a b'  # must be off first", "virsh list --name", "modprobe -r kvm_amd")
    (problem,) = problems(replace(FAIL, remediation=lines))
    assert problem.shut_down_first == ("a b",)


def test_a_command_line_that_shell_cannot_split_names_nothing() -> None:
    (problem,) = problems(replace(FAIL, remediation=("virsh shutdown 'a",)))
    assert problem.shut_down_first == ()
