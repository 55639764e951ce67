"""The report's first section: each problem with its findings; hosts that have the same one share an entry."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.problem_text import alike, effect_line, place_of, work_lines
from nested_kvm.results.problem import FindingRef, Problem, Role
from nested_kvm.results.problems import ref_of
from nested_kvm.results.run import Result, Run
from nested_kvm.util.text import plural

_MANY: Final = 40
"""Problems up to this number have an entry each."""
_SHORT: Final = 3
"""Places that a heading names."""


@dataclass(frozen=True, slots=True)
class ProblemFinding:
    """One finding of a problem, and whether it is the cause."""

    result: Result
    role: Role


@dataclass(frozen=True, slots=True)
class ProblemEntry:
    """A problem, or several that differ only in where they are."""

    first: Problem
    problems: Sequence[Problem]
    findings: Sequence[ProblemFinding]

    @property
    def places(self) -> list[str]:
        """Where it is, one entry for each machine or domain."""
        return [place_of(each) for each in self.problems]

    @property
    def named(self) -> list[str]:
        """The places that the heading names."""
        return self.places[:_SHORT]

    @property
    def targets(self) -> list[str]:
        """The machines at which it is fixed."""
        return [each.place.target for each in self.problems]

    @property
    def controls(self) -> list[tuple[str, int]]:
        """The number of its findings by control, the most common first."""
        return Counter(each.result.control for each in self.findings).most_common()

    @property
    def effect(self) -> str:
        """Which guests it holds back, and which it frees."""
        if len(self.problems) == 1:
            return effect_line(self.first)
        guests = len({name for each in self.problems for name in each.held_back})
        when = " after the next boot" if self.first.is_of_next_boot else ""
        return f"{'will hold' if when else 'holds'} back {plural(guests, 'guest')}{when}" if guests else ""

    @property
    def commands_are_of_the_first(self) -> bool:
        """Whether the others are fixed by other commands, which stand with their findings."""
        return any(tuple(each.commands) != tuple(self.first.commands) for each in self.problems)

    @property
    def work(self) -> list[str]:
        """What has to be off before the commands, and what to restart after them."""
        return list(work_lines(self.first)) if len(self.problems) == 1 else []


def problem_entries(run: Run) -> list[ProblemEntry]:
    """Return the open problems in the order of work."""
    results = {ref_of(each): each for each in run.with_outcome(Outcome.FAIL)}
    return [
        ProblemEntry(group[0], group, tuple(finding for each in group for finding in _findings(each, results)))
        for group in _together(run.problems.open)
    ]


def entries_by_target(run: Run) -> dict[str, list[ProblemEntry]]:
    """Return each open problem by itself, in the order of work, by the machine at which it is fixed."""
    results = {ref_of(each): each for each in run.with_outcome(Outcome.FAIL)}
    found: dict[str, list[ProblemEntry]] = {}
    for each in run.problems.open:
        entry = ProblemEntry(each, [each], tuple(_findings(each, results)))
        found.setdefault(each.place.target, []).append(entry)
    return found


def _together(problems: Sequence[Problem]) -> list[list[Problem]]:
    """Bring problems together: where there are many, also those that hold back guests, each its own."""
    if len(problems) <= _MANY:
        return alike(problems)
    groups: dict[tuple[object, ...], list[Problem]] = {}
    for each in problems:
        key = (each.cause, each.severity, each.message, each.drift, each.is_of_next_boot, bool(each.held_back))
        groups.setdefault(key, []).append(each)
    return list(groups.values())


def _findings(problem: Problem, results: dict[FindingRef, Result]) -> Iterator[ProblemFinding]:
    for ref in problem.findings:
        if ref in results:
            yield ProblemFinding(results[ref], Role.CAUSE if ref == problem.finding else Role.CONSEQUENCE)
