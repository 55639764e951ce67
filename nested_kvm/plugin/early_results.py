"""Evaluates each host while others are still being observed: as soon as it, its guests and its group were.

pytest collects when everything was observed. What was evaluated before then is only reported there, so that the order
and the content of every report do not depend on which host answered first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from nested_kvm.controls.catalogue import DeclaredControl
from nested_kvm.controls.diagnose import diagnose
from nested_kvm.controls.expose import exposures
from nested_kvm.controls.judge import judge
from nested_kvm.controls.nesting_answers import nesting_answers
from nested_kvm.errors import LimitExceeded, ObservationError
from nested_kvm.fleet.connected import ConnectedParts
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.inventory.target import Target
from nested_kvm.model.verdict import Verdict
from nested_kvm.plugin.audit import Audit, target_result
from nested_kvm.plugin.budget import EvaluationBudget
from nested_kvm.plugin.evaluation import evaluate, takes_facts_only
from nested_kvm.reporting.gate import gate_lines
from nested_kvm.results.problems import problems_of
from nested_kvm.results.run import Result, ResultList, Run, Threshold
from nested_kvm.results.waivers import Waivers
from nested_kvm.version import VERSION

LINES: Final = 20
"""Targets with findings that are named at once where no gate asks for each."""

_Key = tuple[str, int, str, str, str, str | None]
_Asked = tuple[DeclaredControl, Subject]


class EarlyResults:
    """The results so far, by check and subject; each is taken once."""

    def __init__(
        self, audit: Audit, controls: Iterable[DeclaredControl], budget: EvaluationBudget, verdicts: "EarlyVerdicts"
    ) -> None:
        self._controls = [each for each in controls if takes_facts_only(each.control, each.check)]
        self._budget = budget
        self._candidates = audit.candidates
        self._parts = ConnectedParts(audit.inventory)
        self._of_group: dict[str, list[Target]] = {}
        for target in audit.declared:
            if target.group is not None:
                self._of_group.setdefault(target.group, []).append(target)
        self._verdicts = verdicts
        self._results: dict[_Key, Result | None] = {}

    def add(self, machine: Machine) -> list[str]:
        """Evaluate what this machine completes; return a line for each target that something stands against."""
        machines = self._parts.add(machine)
        if not machines:
            return []
        groups = dict.fromkeys(each.target.group for each in machines if each.target.group is not None)
        declared = [target for group in groups for target in self._of_group.get(group, ())]
        fleet = Fleet(machines, declared, self._candidates)
        return list(self._verdicts.lines(fleet, self._evaluated(fleet), self._budget))

    def take(self, check: Any, subject: Subject, identifier: str) -> Result | None:
        """Return the result of a check for a subject; None: it is not known yet, or not which of several it is."""
        return self._results.pop(_key(check, subject, identifier), None)

    def _evaluated(self, fleet: Fleet) -> list[Result]:
        """Evaluate each control for each of its subjects, and return the results in that order."""
        asked: dict[str, dict[_Key, _Asked]] = {}
        order: dict[_Key, None] = {}
        for declared in self._controls:
            for subject in fleet.subjects_of(declared.control):
                key = _key(declared.check, subject, declared.control.id)
                if key in order or key in self._results:
                    self._results[key] = None  # Of several with one key it is not known whose a result is.
                else:
                    order[key] = None
                    asked.setdefault(subject.machine.target.name, {})[key] = (declared, subject)
        found = {key: result for each in asked.items() for key, result in self._of_target(*each).items()}
        for key in order:
            self._results.setdefault(key, found.get(key))
        return [found[key] for key in order if key in found]

    def _of_target(self, target: str, asked: Mapping[_Key, _Asked]) -> dict[_Key, Result]:
        """Evaluate what is asked of a target, within one limit: setting one for each control costs as much as that."""
        results: dict[_Key, Result] = {}
        with suppress(LimitExceeded), self._budget.of(target):
            for key, (declared, subject) in asked.items():
                result = self._result(declared, subject)
                if self._budget.is_exceeded(target):
                    break  # A check that caught the error has not decided anything.
                if result is not None:
                    results[key] = result
        return results

    def _result(self, declared: DeclaredControl, subject: Subject) -> Result | None:
        """Return a result; None where the check itself failed: then pytest reports it."""
        control, facts = declared.control, dict[str, object]()
        raised: Verdict | ObservationError | None = None
        try:
            evaluate(declared.check, control, subject, facts)
        except (Verdict, ObservationError) as verdict:
            raised = verdict
        except Exception:  # noqa: BLE001 - evaluated again by pytest, which shows where
            return None
        return judge(control, subject, raised, facts)


class EarlyVerdicts:
    """Says of which targets something stands against them, while others are still being observed."""

    def __init__(self, waivers: Waivers, threshold: Threshold) -> None:
        self._waivers = waivers
        self._threshold = threshold
        self._left = LINES

    def lines(self, fleet: Fleet, results: Iterable[Result], budget: EvaluationBudget) -> Iterator[str]:
        """Return a line for each target that blocks; that one could not be inspected was said already."""
        if self._threshold.only_new or not (self._left or self._threshold.gate):
            return
        answered = list(map(self._waivers.answer_for, results))
        if not any(map(self._threshold.blocks, answered)):
            return
        run = Run("", datetime.now(UTC), VERSION, "", results=ResultList(answered), complete=True)
        run.targets = [target_result(machine.bundle) for machine in fleet.machines.values()]
        run.diagnoses = list(diagnose(fleet, budget.of))
        run.exposures = list(exposures(fleet, budget.of))
        run.answers = list(nesting_answers(fleet, run.diagnoses, budget.of))
        run.problems = problems_of(run)
        for target, (line, passes) in zip(run.targets, gate_lines(run, self._threshold), strict=True):
            if not passes and target.error is None:
                yield from self._said(line)

    def _said(self, line: str) -> Iterator[str]:
        if self._threshold.gate:
            yield line
        elif self._left:
            self._left -= 1
            yield line if self._left else f"{line}\nothers follow in the summary and the report"


def _key(check: Callable[..., object], subject: Subject, control: str) -> _Key:
    code = check.__code__
    return code.co_filename, code.co_firstlineno, control, subject.machine.target.name, subject.name, subject.domain
