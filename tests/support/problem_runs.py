"""Runs of recorded machines made in this process, with their problems: without pytest and without reports."""

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from nested_kvm.controls.applicability import check_applies
from nested_kvm.controls.diagnose import diagnose, unlimited
from nested_kvm.controls.expose import exposures
from nested_kvm.controls.judge import judge
from nested_kvm.controls.nesting_answers import nesting_answers
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.model.control import Control
from nested_kvm.plugin.fixtures import FACTS
from nested_kvm.results.problem import FindingRef, Problem
from nested_kvm.results.problems import problems_of
from nested_kvm.results.run import Result, ResultList, Run, TargetResult
from tests.support.evaluation import controls

_STARTED: Final = datetime(2026, 1, 2, tzinfo=UTC)


def run_of_fleet(fleet: Fleet) -> Run:
    """Evaluate every control of a fleet's machines, and bring the findings together."""
    run = Run("an id", _STARTED, "0", "inventory.yaml", finished=_STARTED, exit_status=0, complete=True)
    run.targets = [_target(each.target, each) for each in fleet.machines.values()]
    run.results = ResultList(_results(fleet))
    run.diagnoses = list(diagnose(fleet))
    run.exposures = list(exposures(fleet, unlimited))
    run.answers = list(nesting_answers(fleet, run.diagnoses))
    run.problems = problems_of(run)
    return run


def refs(run: Run) -> set[FindingRef]:
    """The findings of a run's problems."""
    return {ref for problem in run.problems for ref in problem.findings}


def causes(problem: Problem) -> str | None:
    """The code of a problem's cause."""
    return None if problem.cause is None else problem.cause.code


def _target(target: Any, machine: Any) -> TargetResult:
    return TargetResult(
        name=target.name,
        level=target.level,
        host=target.host,
        address=None if target.address is None else target.address.spec,
        observed=machine.is_observed,
        error=None,
        policy=target.policy,
    )


def _results(fleet: Fleet) -> Iterator[Result]:
    for control, function in controls().items():
        for subject in fleet.subjects_of(control):
            yield _result(control, function, subject)


def _result(control: Control, function: Callable[..., object], subject: Subject) -> Result:
    arguments: dict[str, object] = {}
    raised: BaseException | None = None
    try:
        check_applies(control, subject)
        for fact in inspect.signature(function).parameters:
            arguments[fact] = FACTS[fact](subject)
        function(**arguments)
    except Exception as error:  # noqa: BLE001 - whatever breaks is an outcome
        raised = error
    return judge(control, subject, raised, arguments)
