"""The part of the inventory and of the controls that a run was asked to evaluate."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from nested_kvm.util.text import first_of, plural, printable

NOT_REACHED: Final = "the run ended before it was evaluated"
"""The reason of what is missing in a run that ended early, narrowed or not."""
_NAMED: Final = 10
"""Controls that are named, at most."""


@dataclass(frozen=True, slots=True)
class NotAsked:
    """One control that the fleet asks for, of one subject, and that this run left out."""

    control: str
    target: str
    subject: str
    reason: str
    """What left it out, as the command line says it: `-k`, `--deselect`, a path."""


def not_asked_line(left_out: Iterable[NotAsked]) -> str:
    """Return the sentence that states what a narrowed run left out."""
    parts = list(left_out)
    controls = sorted({each.control for each in parts})
    verb = "was" if len(controls) == 1 else "were"
    subjects = plural(len({(each.target, each.subject) for each in parts}), "subject")
    reasons = ", ".join(sorted({each.reason for each in parts}))
    named = printable(", ".join(first_of(controls, _NAMED, "control")), 1000)
    return f"PARTIAL: {named} {verb} not asked of {subjects} ({printable(reasons)})"


@dataclass(slots=True)
class RunScope:
    """The selection of a run, filled while pytest collects."""

    fleet: frozenset[str] = frozenset()
    """Every target of the inventory, audited in this run or not."""
    audited: frozenset[str] = frozenset()
    unasked: set[str] = field(default_factory=set)
    """Controls of which something was left out: by `-k` or `-m`, or because they are for maintenance only."""
    is_whole: bool = False
    """False: only some checks were selected, or the run ended early."""

    @property
    def left_out(self) -> frozenset[str]:
        """Targets of the inventory that this run does not inspect."""
        return self.fleet - self.audited

    def may_leave_out(self, control: str, target: str) -> bool:
        """Whether a result of these glob patterns may be missing because this run did not ask for it."""
        return not self.is_whole or _any(self.unasked, control) or _any(self.left_out, target)


def _any(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)
