"""A control: one requirement, written down as one function of facts and policy."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from nested_kvm.model.architecture import X86, Architecture
from nested_kvm.model.cause import Cause
from nested_kvm.model.policy import Nested
from nested_kvm.model.severity import Severity

__all__ = ["Control", "ControlDefinitionError", "Level", "Severity", "control", "control_of"]

_ID: Final = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)+")
_ATTRIBUTE: Final = "__control__"
_UNKNOWN: Final = "Unknown: "

Check = TypeVar("Check", bound=Callable[..., None])


class Level(StrEnum):
    """What a control inspects; the first part of its id."""

    L0 = "L0"
    DOMAIN = "DOM"
    L1 = "L1"
    PAIR = "PAIR"
    SITE = "SITE"


class ControlDefinitionError(TypeError):
    """A control is declared incorrectly; raised at import, before anything is audited."""


@dataclass(frozen=True, slots=True)
class Control:
    """The metadata of a control."""

    id: str
    title: str
    """The compliant state, in one sentence."""
    reason: str
    severity: Severity
    level: Level
    unknown: str = ""
    """When the evidence is inconclusive; empty: it never is."""
    facts: tuple[type, ...] = ()
    """The facts it evaluates: the types of the check's parameters."""
    causes: tuple[Cause, ...] = ()
    only: Nested | None = None
    """The polarity in which it applies; None: in both."""
    architectures: tuple[Architecture, ...] | None = (X86,)
    """None: on every architecture."""
    references: tuple[str, ...] = ()
    decides: bool = False
    """Whether it answers whether its subject complies, now or after the next boot."""
    is_about_operations: bool = False
    """Whether it guards an operation on the subject, whatever nesting policy applies to it."""


def control(
    identifier: str,
    *,
    severity: Severity,
    causes: Sequence[Cause] = (),
    only: Nested | None = None,
    architectures: Sequence[Architecture] | None = (X86,),
    references: Sequence[str] = (),
    subject_level: Level | None = None,
    decides: bool = False,
    is_about_operations: bool = False,
) -> Callable[[Check], Check]:
    """Declare the decorated test as a control.

    The first line of its docstring is the title, stating the compliant state; the rest says why. A paragraph that
    begins with `Unknown:` says when the evidence is inconclusive. `subject_level` is the level of its subjects, where
    that differs from its id's. With `decides` a subject complies only if this control passes; with
    `is_about_operations` its findings count also where no nesting policy applies.

    Raises:
        ControlDefinitionError: the id is not one, or title or reason are missing.
    """

    def declare(check: Check) -> Check:
        title, reason, unknown = _parse_docstring(identifier, check)
        declared = Control(
            id=identifier,
            title=title,
            reason=reason,
            severity=severity,
            level=subject_level or _level(identifier),
            unknown=unknown,
            facts=_facts(check),
            causes=tuple(causes),
            only=only,
            architectures=None if architectures is None else tuple(architectures),
            references=tuple(references),
            decides=decides,
            is_about_operations=is_about_operations,
        )
        setattr(check, _ATTRIBUTE, declared)
        return check

    return declare


def control_of(check: object) -> Control | None:
    """The control that a function was declared as; None: it is not a control."""
    found = getattr(check, _ATTRIBUTE, None)
    return found if isinstance(found, Control) else None


def _level(identifier: str) -> Level:
    prefix = identifier.partition("-")[0]
    if not _ID.fullmatch(identifier) or prefix not in {level.value for level in Level}:
        raise ControlDefinitionError(
            f"{identifier!r} is not a valid control id: start with {', '.join(Level)} and a dash"
        )
    return Level(prefix)


def _facts(check: Callable[..., None]) -> tuple[type, ...]:
    annotations = (parameter.annotation for parameter in inspect.signature(check).parameters.values())
    return tuple(each for each in annotations if isinstance(each, type) and each is not inspect.Parameter.empty)


def _parse_docstring(identifier: str, check: Callable[..., None]) -> tuple[str, str, str]:
    title, _, rest = (inspect.getdoc(check) or "").partition("\n")
    paragraphs = rest.strip().split("\n\n")
    reason = "\n\n".join(each for each in paragraphs if not each.startswith(_UNKNOWN))
    unknown = " ".join(each.removeprefix(_UNKNOWN) for each in paragraphs if each.startswith(_UNKNOWN))
    if not title.strip() or not reason.strip():
        name = getattr(check, "__name__", "the check")
        raise ControlDefinitionError(f"{identifier}: the docstring of {name} needs a title line and a reason below it")
    return title.strip(), reason.strip(), " ".join(unknown.split())
