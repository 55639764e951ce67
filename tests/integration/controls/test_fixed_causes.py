"""What fixes the cause of a problem takes its consequences with it: shown on recorded machines, fixed and evaluated."""

from collections import Counter
from collections.abc import Iterator
from functools import cache

import pytest

from nested_kvm.evidence.pending import read_evidence
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.problem import Problem
from nested_kvm.results.problems import ref_of
from nested_kvm.results.run import Run
from tests.support.field_failure import failures
from tests.support.mended import Recorded, demo_hosts, mended, recorded
from tests.support.problem_runs import run_of_fleet
from tests.support.scenario import scenarios
from tests.support.scenario_fleet import ROOT

CASES = {
    name: each
    for name, each in {**scenarios(), **failures()}.items()
    if each.unreachable is None and (each.level or each.machine.level) == "L0"
}
DEMO = "make demo"
STILL_BAD = frozenset({Outcome.FAIL, Outcome.ERROR})
BY_COMMANDS = {"persisted-off", "persisted-on", "nested-off", "persisted-value-invalid"}
IN_A_DOMAIN = {"host-model-drops-svm", "named-model-lacks-flag", "feature-disabled", "power-cycle-pending"}


@cache
def case_of(name: str) -> Recorded:
    folder = ROOT / "examples" / "fleet"
    return demo_hosts(folder, read_evidence(folder / "evidence")) if name == DEMO else recorded(name, CASES[name])


@cache
def fixed(name: str) -> list[tuple[Problem, Run, Run]]:
    """Each problem that can be fixed there, with the run before and the one after."""
    case = case_of(name)
    before = run_of_fleet(case.fleet)
    found = []
    for problem in before.problems:
        after = mended(case, problem)
        run = None if after is None else run_of_fleet(after.fleet)
        if run is not None and run.problems.of(problem.finding) is None:
            found.append((problem, before, run))
    return found


def leftovers(name: str) -> Iterator[str]:
    """What remains of a fixed cause: a consequence may only be one of another problem that was there before."""
    for problem, before, after in fixed(name):
        known = {each.id for each in before.problems}
        causes = {ref_of(each): each.cause for each in before.results.sorted_by_target()}
        now = {ref_of(each): each for each in after.results.sorted_by_target()}
        for ref in problem.consequences:
            found = after.problems.of(ref)
            result = now.get(ref)
            is_other = found is not None and (found[0].id in known or now[ref].cause is not causes[ref])
            if result is not None and result.outcome in STILL_BAD and not is_other:
                yield f"{problem.id}: {ref} is still {result.outcome.value}: {result.message}"


@pytest.mark.parametrize("name", [*CASES, DEMO])
def test_a_fixed_cause_takes_its_consequences_with_it(name: str) -> None:
    assert list(leftovers(name)) == []


def test_enough_of_every_kind_is_fixed() -> None:
    problems = [problem for name in [*CASES, DEMO] for problem, _, _ in fixed(name)]
    causes = Counter(each.cause.code for each in problems if each.cause is not None)
    assert causes.keys() >= BY_COMMANDS | IN_A_DOMAIN
    with_consequences = Counter(each.cause.code for each in problems if each.cause is not None and each.consequences)
    assert with_consequences.keys() >= BY_COMMANDS | IN_A_DOMAIN
    assert sum(with_consequences.values()) >= 30


@pytest.mark.parametrize("name", ["amd-pair-nested-off", "s390x-pair-nested-off"])
def test_guests_nest_once_what_held_them_back_is_fixed(name: str) -> None:
    ((problem, before, after),) = [each for each in fixed(name) if each[0].cause is Cause.NESTED_OFF]
    now = {each.target: each.now for each in before.answers if each.host}
    then = {each.target: each.now for each in after.answers if each.host}
    assert set(problem.frees) == now.keys()
    assert (set(now.values()), set(then.values())) == ({"no"}, {"yes"})
