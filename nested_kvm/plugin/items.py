"""From a control and its subjects to pytest's items."""

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

import pytest

from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.model.control import Control, Level, Severity, control_of

_UNSAFE = re.compile(r"[^\w.@:+/-]", re.ASCII)
MAINTENANCE: Final = "maintenance"
"""The marker of what must not run before a migration, save, snapshot or reboot."""
MARKERS: Final = {
    **{str(severity): f"a control of severity {severity}" for severity in Severity},
    **{level.value: f"a control whose id starts with {level.value}-" for level in Level},
}
"""The markers that each item has by its control: `-m critical`, `-m L0`."""


def control_of_test(item: pytest.Item) -> Control:
    """The control that an item evaluates."""
    return control_of_item(getattr(item, "function", None), item.name.partition("[")[0])


def control_of_item(function: object, name: str) -> Control:
    """The control that a test is; a site's plain test is one without causes."""
    declared = control_of(function)
    if declared is not None:
        return declared
    title, _, reason = (inspect.getdoc(function) or name).partition("\n")
    return Control(f"SITE-{name}", title, reason.strip(), Severity.MEDIUM, Level.SITE, architectures=None)


def mark_as(item: pytest.Item, control: Control) -> None:
    """Let `-k` and `-m` select an item by its control's id, severity and the first word of the id."""
    for name in (str(control.severity), control.id.partition("-")[0]):
        item.add_marker(_marker(name))
    item.extra_keyword_matches.add(control.id)


@cache
def _marker(name: str) -> pytest.MarkDecorator:
    found: pytest.MarkDecorator = getattr(pytest.mark, name)
    return found


def deselected_by(config: pytest.Config, item: pytest.Item) -> str:
    """Name what deselected an item, as the command line has it."""
    option = config.option
    if any(item.nodeid.startswith(prefix) for prefix in option.deselect or ()):
        return "deselected by --deselect"
    given = [flag for flag, words in (("-k", option.keyword), ("-m", option.markexpr)) if words]
    return f"deselected by {' and '.join(given) or 'a plugin'}"


def parametrize(metafunc: pytest.Metafunc, fleet: Fleet) -> None:
    """One item for each subject; None, to be deselected, where the fleet has no subject of the control's level."""
    control = control_of_item(metafunc.function, metafunc.function.__name__)
    subjects: list[Subject | None] = [*fleet.subjects_of(control)] or [None]
    ids = ["none" if subject is None else safe_id(subject.id) for subject in subjects]
    metafunc.parametrize("subject", subjects, ids=ids, indirect=True)


def subject_of(item: pytest.Item) -> Subject | None:
    """The subject of an item: that of a control item, or the parameter of an ordinary pytest test."""
    found = getattr(item, "subject", None)
    if found is None and hasattr(item, "callspec"):
        found = item.callspec.params.get("subject")
    return found if isinstance(found, Subject) else None


def is_check(item: pytest.Item) -> bool:
    """Whether an item was made for a subject; or for none, where the fleet has no subject of that level."""
    callspec = getattr(item, "callspec", None)
    return hasattr(item, "without_subject") or (callspec is not None and "subject" in callspec.params)


def distinct(ids: Iterable[str]) -> Iterator[str]:
    """The ids, with a number after each that occurred before: results are identified by them."""
    taken: Counter[str] = Counter()
    for each in ids:
        found = each
        while found in taken:
            taken[each] += 1
            found = f"{each}~{taken[each] + 1}"
        taken[found] += 0
        yield found


def safe_id(text: str) -> str:
    """A test id without markup, whatever the name: pytest-html puts ids into its page as they are."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", text)[:200]
