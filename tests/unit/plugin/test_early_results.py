"""What is evaluated while others are still observed: within one limit for each target, and never without one."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from nested_kvm.controls.catalogue import DeclaredControl
from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Subject
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.control import control, control_of
from nested_kvm.model.policy import Policy
from nested_kvm.model.severity import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.plugin.audit import Audit
from nested_kvm.plugin.budget import EvaluationBudget
from nested_kvm.plugin.early_results import EarlyResults, EarlyVerdicts
from nested_kvm.results.run import Threshold
from nested_kvm.results.waivers import Waivers
from tests.unit.plugin.test_budget import burn


@control("L0-TST-01", severity=Severity.LOW, architectures=None)
def evaluated_in_time() -> None:
    """The first of three.

    It takes no time.
    """


@control("L0-TST-02", severity=Severity.LOW, architectures=None)
def takes_too_long_and_catches_the_error() -> None:
    """The second of three.

    A fact that is optional is left out where it cannot be read.
    """
    try:
        burn()
    except ObservationError:
        return


@control("L0-TST-03", severity=Severity.LOW, architectures=None)
def evaluated_after_it() -> None:
    """The third of three.

    It takes no time.
    """


CHECKS = (evaluated_in_time, takes_too_long_and_catches_the_error, evaluated_after_it)
SLOW, QUICK = (Target(name, TargetLevel.L0, Address.parse("local://"), Policy()) for name in ("slow", "quick"))


def results_of(target: Target, checks: tuple[Callable[..., None], ...]) -> dict[str, Outcome | None]:
    audit = cast("Audit", SimpleNamespace(candidates=None, inventory=[target], declared=[target]))
    controls = [DeclaredControl(found, frozenset(), each) for each in checks if (found := control_of(each))]
    verdicts = EarlyVerdicts(Waivers([], datetime.now(UTC).date()), Threshold())
    early = EarlyResults(audit, controls, EvaluationBudget(0.2), verdicts)
    architecture = Reading(sources.ARCHITECTURE, Status.OK, "x86_64\n")
    machine = Machine(Bundle(target, datetime.now(UTC), "1", {architecture.source: architecture}))
    early.add(machine)
    subject = Subject(machine, target.name, target.policy)
    taken = {each.control.id: early.take(each.check, subject, each.control.id) for each in controls}
    return {name: None if result is None else result.outcome for name, result in taken.items()}


def test_what_a_check_decided_that_caught_its_limit_is_not_taken_nor_what_comes_after_it() -> None:
    assert results_of(SLOW, CHECKS) == {"L0-TST-01": Outcome.PASS, "L0-TST-02": None, "L0-TST-03": None}


def test_the_same_controls_are_evaluated_where_there_is_time() -> None:
    assert results_of(QUICK, (evaluated_in_time, evaluated_after_it)) == {
        "L0-TST-01": Outcome.PASS,
        "L0-TST-03": Outcome.PASS,
    }


def test_a_control_that_is_there_twice_is_left_to_pytest() -> None:
    assert results_of(QUICK, (evaluated_in_time, evaluated_in_time)) == {"L0-TST-01": None}
