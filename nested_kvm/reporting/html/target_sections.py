"""A section for each target: its answer, its problems, and every result with its evidence, passes too."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Final

from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.answer_text import answer_line
from nested_kvm.results.problem import Problem
from nested_kvm.results.run import Result, Run, TargetResult, hosts_and_their_guests

MOST: Final = 40_000
"""Results up to this number have their sections in the report; of more, each hundred targets have a page."""
_SHARED_FROM: Final = 1_000
"""Results from which evidence that several targets have is written once."""
_SHARED_BY: Final = 3

_Text = tuple[str, tuple[Evidence, ...]]


@dataclass(frozen=True, slots=True)
class SharedEvidence:
    """Evidence that several targets have word by word for a control that they pass."""

    number: int
    control: str
    evidence: Sequence[Evidence]
    targets: int


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One result of a target; `shared` where its evidence is written once for several."""

    result: Result
    shared: SharedEvidence | None


@dataclass(slots=True)
class TargetSection:
    """Everything of one target."""

    target: TargetResult
    answer: str
    problems: Sequence[Problem]
    lines: Sequence[ResultLine]

    @property
    def counts(self) -> list[tuple[Outcome, int]]:
        """The number of its results with each outcome."""
        counted = Counter(each.result.outcome for each in self.lines)
        return [(outcome, counted[outcome]) for outcome in Outcome if counted[outcome]]


@dataclass
class TargetSections:
    """The sections, made one by one while the page is written."""

    run: Run
    shared: Mapping[_Text, SharedEvidence] = field(init=False)

    def __post_init__(self) -> None:
        results = len(self.run.results)
        self.shared = _shared(self.run) if _SHARED_FROM < results <= MOST else {}

    @property
    def are_too_many(self) -> bool:
        """Whether the fleet is too large for them."""
        return len(self.run.results) > MOST

    @property
    def common(self) -> list[SharedEvidence]:
        """The evidence that is written once, by number."""
        return sorted(self.shared.values(), key=attrgetter("number"))

    def __iter__(self) -> Iterator[TargetSection]:
        """Iterate over the sections of the report, each host before its guests; of too many there are none."""
        return iter(()) if self.are_too_many else self.of(sorted(self.run.targets, key=hosts_and_their_guests))

    def of(self, targets: Iterable[TargetResult]) -> Iterator[TargetSection]:
        """Iterate over the sections of some targets, also where they are on other pages."""
        for target in targets:
            lines = [ResultLine(each, self._shared_of(each)) for each in self.run.results.of_target(target.name)]
            yield TargetSection(target, self._answers.get(target.name, ""), self._problems.get(target.name, ()), lines)

    @cached_property
    def _answers(self) -> Mapping[str, str]:
        return {each.target: answer_line(each) for each in self.run.answers}

    @cached_property
    def _problems(self) -> Mapping[str, Sequence[Problem]]:
        return _by_target(self.run.problems)

    def _shared_of(self, result: Result) -> SharedEvidence | None:
        return self.shared.get(_text(result)) if result.outcome is Outcome.PASS else None


def _shared(run: Run) -> dict[_Text, SharedEvidence]:
    passed = (each for each in run.results.sorted_by_target() if each.outcome is Outcome.PASS)
    counted = Counter(map(_text, passed))
    often = sorted((text for text, count in counted.items() if count >= _SHARED_BY and text[1]), key=_in_words)
    return {text: SharedEvidence(number, text[0], text[1], counted[text]) for number, text in enumerate(often, 1)}


def _text(result: Result) -> _Text:
    return result.control, tuple(result.evidence)


def _in_words(text: _Text) -> tuple[str, list[tuple[str, str]]]:
    return text[0], [(item.source, item.text) for item in text[1]]


def _by_target(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in problems:
        for name in dict.fromkeys((problem.place.target, problem.place.subject, *problem.held_back)):
            found.setdefault(name, []).append(problem)
    return found
