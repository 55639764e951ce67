"""The facts that a check may take, by the names of its parameters. Facts observe; they never evaluate.

Every fact of `Machine` is one, under the name and with the docstring of its property; what depends on more than the
machine is defined here. A fact that could not be read raises `ObservationError`: an error, never a finding.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final, cast

import pytest

from nested_kvm.connection import Host
from nested_kvm.controls.applicability import check_applies
from nested_kvm.controls.chain import Pair
from nested_kvm.errors import NestedKvmError
from nested_kvm.facts.kvm.module_users import ModuleUsers
from nested_kvm.facts.kvm.nested_activity import NestedActivity
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.facts.libvirt.saved_states import SavedStates
from nested_kvm.fleet.host_group import GroupComparison
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Subject
from nested_kvm.inventory.target import Target
from nested_kvm.model.control import control_of
from nested_kvm.model.policy import Policy
from nested_kvm.plugin.audit_session import audit_session

Observe = Callable[[Subject], object]
FACTS: Final[dict[str, Observe]] = {}
"""How each fact is observed, by the parameter name that requests it."""


def fact(observe: Observe) -> Any:
    """Offer a fact to every check: to a control directly, to any other test as a pytest fixture."""
    FACTS[observe.__name__] = observe
    return pytest.fixture(observe)


def _of_machine(name: str, docstring: str | None) -> Observe:
    def observe(subject: Subject) -> object:
        return getattr(subject.machine, name)

    observe.__name__ = observe.__qualname__ = name
    observe.__doc__ = docstring
    return observe


def _machine_facts() -> Iterator[tuple[str, Observe]]:
    for name, found in vars(Machine).items():
        if isinstance(found, cached_property) and not name.startswith("_"):
            yield name, _of_machine(name, found.__doc__)


globals().update({name: fact(observe) for name, observe in _machine_facts()})


@pytest.fixture(autouse=True)
def subject(request: pytest.FixtureRequest) -> Subject:
    """The subject of the check; the plugin chooses the subjects of each control."""
    chosen = cast("Subject", request.param)
    declared = control_of(request.function)
    if declared is not None:
        check_applies(declared, chosen)
    return chosen


@pytest.fixture
def host(request: pytest.FixtureRequest, subject: Subject) -> Host:
    """Testinfra's host for the target, over the connection that carried the probe."""
    return audit_session(request.config).audit.host(subject.machine.target)


@fact
def target(subject: Subject) -> Target:
    """The target as the inventory declares it."""
    return subject.machine.target


@fact
def policy(subject: Subject) -> Policy:
    """The subject's effective policy."""
    return subject.effective_policy


@fact
def holders(subject: Subject) -> ModuleUsers:
    """What keeps the target's KVM module from being reloaded, as far as it is visible."""
    return subject.machine.module_users


@fact
def group_comparison(subject: Subject) -> GroupComparison:
    """How the target differs from the hosts of its group."""
    group = subject.group
    return GroupComparison(None) if group is None else group.comparison(subject.machine.target.name)


@fact
def pair(subject: Subject) -> Pair:
    """The guest together with its host."""
    return Pair(subject.host, subject.machine)


@fact
def domain(subject: Subject) -> Domain:
    """The domain that the check is about."""
    return subject.machine.domain(_domain_key(subject))


@fact
def saved_states(subject: Subject) -> SavedStates:
    """The saved states, with memory, of the domain that the check is about."""
    return subject.machine.saved_states(_domain_key(subject))


@fact
def nested_activity(subject: Subject) -> NestedActivity:
    """Whether an L2 runs in the domain, or in the guest, that the check is about."""
    return subject.machine.nested_activity(subject.domain)


def _domain_key(subject: Subject) -> str:
    if subject.domain is None:
        raise NestedKvmError("only a DOM control has a domain")
    return subject.domain
