"""A problem: one cause at one place, the findings that follow from it, and the guests that it holds back.

`Run.problems` has every finding (each `fail`, waived or not) in exactly one problem; errors and unknowns are no
findings, and in none. A problem names its findings by `FindingRef`; `Problems.of` finds the problem and the role of a
result by `ref_of(result)`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from nested_kvm.model.cause import Cause
from nested_kvm.model.severity import Severity
from nested_kvm.model.verdict import Evidence
from nested_kvm.results.drift import Drift


class Role(StrEnum):
    """What a finding is in its problem."""

    CAUSE = "cause"
    CONSEQUENCE = "consequence"


class Part(StrEnum):
    """What has to be changed to fix a problem."""

    HOST = "host"
    FILE = "file"
    """A configuration file, or the kernel command line; the place names it with its line."""
    MODULE = "module"
    DOMAIN = "domain"
    """A domain's definition, or the domain as it runs."""
    GUEST = "guest"
    """A guest, from inside."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a problem is fixed."""

    target: str
    """The machine."""
    subject: str
    """The machine, or a domain on it."""
    part: Part
    source: str = ""
    """The first reading that shows it, such as a file and line; empty: a failed assertion shows none."""


@dataclass(frozen=True, slots=True, order=True)
class FindingRef:
    """What identifies a finding within a run."""

    target: str
    subject: str
    control: str
    check: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One cause at one place, and all that follows from it."""

    id: str
    """The same in every run: made of the cause, the place and the control, never of an order."""
    cause: Cause | None
    """None: a failed assertion of a site's own check."""
    place: Place
    severity: Severity
    """Of the most severe finding that is not waived; where all are, of the most severe."""
    message: str
    """Of the finding that is the cause."""
    evidence: Sequence[Evidence]
    finding: FindingRef
    """The cause."""
    consequences: Sequence[FindingRef] = ()
    """By target, subject and control."""
    holds_back_now: Sequence[str] = ()
    """Guests that must nest, and cannot because of it."""
    holds_back_after_boot: Sequence[str] = ()
    """Guests that must nest, and will not after the next boot of their host because of it, whether they can now."""
    frees: Sequence[str] = ()
    """Guests that nothing holds back once this problem and all before it are fixed."""
    commands: Sequence[str] = ()
    """What fixes it, on the machine of the place, in a safe order; lines with # are comments. Shown, never run."""
    shut_down_first: Sequence[str] = ()
    """The running guests that have to be off for it."""
    restart_after: Sequence[str] = ()
    """The guests that have to be shut down and started once it is fixed; a reboot is not enough."""
    boot_makes_worse: bool = False
    """Whether the next boot brings a violation, or a guest that fails, that is not there yet."""
    waived: bool = False
    """Whether all its findings are waived."""
    drift: Drift | None = None
    """New where a finding of it is new against the baseline; None: there is no baseline."""

    @property
    def held_back(self) -> tuple[str, ...]:
        """All guests that it holds back, now or after the next boot."""
        return tuple(dict.fromkeys((*self.holds_back_now, *self.holds_back_after_boot)))

    @property
    def findings(self) -> tuple[FindingRef, ...]:
        """The cause, then its consequences."""
        return (self.finding, *self.consequences)

    @property
    def is_of_next_boot(self) -> bool:
        """Whether all that it does to guests, it does after the next boot."""
        return self.boot_makes_worse and not self.holds_back_now


@dataclass(frozen=True, slots=True)
class Problems:
    """All problems of a run, in the order of work: by guests held back, then severity; the waived ones last."""

    all: tuple[Problem, ...] = ()
    _of: Mapping[FindingRef, tuple[Problem, Role]] = field(default_factory=dict, repr=False)

    @classmethod
    def ordered(cls, problems: Sequence[Problem]) -> "Problems":
        """Index problems that are in their order."""
        causes = {each.finding: (each, Role.CAUSE) for each in problems}
        others = {ref: (each, Role.CONSEQUENCE) for each in problems for ref in each.consequences}
        return cls(tuple(problems), {**others, **causes})

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def open(self) -> tuple[Problem, ...]:
        """The problems of which a finding is not waived."""
        return tuple(each for each in self.all if not each.waived)

    @property
    def waived(self) -> tuple[Problem, ...]:
        """The problems of which every finding is waived."""
        return tuple(each for each in self.all if each.waived)

    def of(self, ref: FindingRef) -> tuple[Problem, Role] | None:
        """The problem of a finding, and whether the finding is its cause; None: it is not a finding."""
        return self._of.get(ref)
