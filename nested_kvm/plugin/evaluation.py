"""Evaluates one control for one subject: its facts in, and what the check raises out."""

import inspect
from collections.abc import Callable
from typing import Any, Final

from nested_kvm.controls.applicability import check_applies
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.control import Control, ControlDefinitionError, Level
from nested_kvm.plugin.fixtures import FACTS
from nested_kvm.plugin.items import MAINTENANCE

_MARKS: Final = frozenset({MAINTENANCE})
"""The marks that a control may have; a check with any other is left to pytest."""


def evaluate(check: Callable[..., object], control: Control, subject: Subject, facts: dict[str, object]) -> None:
    """Run a check that takes facts only. `facts` is filled with those that it was given.

    Raises:
        Verdict, ObservationError: the outcome, unless it passed.
        ControlDefinitionError: the check returned something.
    """
    check_applies(control, subject)
    for name in parameters(check):
        facts[name] = FACTS[name](subject)
    if check(**facts) is not None:
        raise ControlDefinitionError("a check must return None: a value, or a coroutine, evaluates nothing")


def takes_facts_only(control: Control, check: Any) -> bool:
    """Whether a check is one of ours, and needs nothing of pytest."""
    is_ours = control.level is not Level.SITE and {mark.name for mark in getattr(check, "pytestmark", ())} <= _MARKS
    return is_ours and set(parameters(check)) <= FACTS.keys()


def parameters(check: Any) -> tuple[str, ...]:
    """The names of the facts that a check takes."""
    found: tuple[str, ...] | None = getattr(check, "_facts", None)
    if found is None:
        found = check._facts = tuple(inspect.signature(check).parameters)  # noqa: SLF001 - inspecting takes longer than evaluating
    return found
