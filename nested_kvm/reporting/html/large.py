"""The report of a large fleet: what grows with its targets is on their pages; here it is counted, and linked."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, Generic, TypeVar

from nested_kvm.model.severity import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.html.fleet_map import Cell, Column, Key, Row, column_rank, rank, rows_of
from nested_kvm.reporting.html.problem_list import ProblemEntry
from nested_kvm.reporting.html.target_pages import TargetPages
from nested_kvm.results.diagnosis import Diagnosis
from nested_kvm.results.run import Reason, Run, TargetResult

_Thing = TypeVar("_Thing", Diagnosis, Reason)

NAMED: Final = 6
"""Targets that a list names; of the rest it names the pages."""
_PAGES: Final = 12
"""Pages that a list names."""


@dataclass(frozen=True, slots=True)
class PageShare:
    """How many of some targets a page has."""

    number: int
    href: str
    targets: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Where some targets are: the first by name, the rest by page."""

    named: Sequence[tuple[str, str]]
    """Name and link."""
    rest: int
    pages: Sequence[PageShare]
    other_pages: int
    on_other_pages: int

    @property
    def count(self) -> int:
        """The number of targets."""
        return len(self.named) + self.rest


@dataclass(frozen=True, slots=True)
class Alike(Generic[_Thing]):
    """Things that differ only in where they are."""

    first: _Thing
    where: Spread


@dataclass(frozen=True, slots=True)
class AlikeRow:
    """Rows of the map that have the same signs; the findings are those of the first."""

    row: Row
    where: Spread


@dataclass(frozen=True, slots=True)
class AlikeMap:
    """A map in which each row stands for all that look like it."""

    heading: str
    columns: tuple[Column, ...]
    rows: Sequence[AlikeRow]

    @property
    def count(self) -> int:
        """The number of machines and domains."""
        return sum(each.where.count for each in self.rows)


@dataclass(frozen=True, slots=True)
class OtherProblems:
    """Entries for which the report has no room."""

    entries: int
    findings: int
    where: Spread


@dataclass(frozen=True, slots=True)
class TargetLine:
    """A target in the list of all."""

    target: TargetResult
    href: str
    severity: Severity | None
    """Of its most severe open finding."""
    words: str
    """What was found, with the causes."""


class LargeReport:
    """What the report of a large fleet shows in place of long lists."""

    def __init__(self, run: Run, pages: TargetPages) -> None:
        self._run = run
        self._pages = pages
        self._links = pages.links()
        self._keys = {(target.name, target.host) for page in pages for target in page.targets}

    def spread(self, names: Iterable[str]) -> Spread:
        """Return where some targets are, in their order."""
        return self._spread([(name, name) for name in dict.fromkeys(names)])

    def spread_of_rows(self, keys: Iterable[Key]) -> Spread:
        """Return where some rows of the map are: a domain that is not a target is on the page of its host.

        A domain may be called as a target elsewhere is.
        """
        return self._spread([(key[0], key[0] if key[1] is None or key in self._keys else key[1]) for key in keys])

    def _spread(self, every: Sequence[tuple[str, str]]) -> Spread:
        rest = every[NAMED:]
        shares = Counter(self._pages.of_target.get(target, "") for _, target in rest)
        numbered = [PageShare(page.number, page.href, shares[page.name]) for page in self._pages if shares[page.name]]
        left = numbered[_PAGES:]
        return Spread(
            named=[(name, self._links.target(target)) for name, target in every[:NAMED]],
            rest=len(rest),
            pages=numbered[:_PAGES],
            other_pages=len(left),
            on_other_pages=sum(each.targets for each in left),
        )

    def left_out(self, entries: Sequence[ProblemEntry]) -> OtherProblems:
        """Count problems that are on the pages of their targets only."""
        where = self.spread(name for entry in entries for name in entry.targets)
        return OtherProblems(len(entries), sum(len(entry.findings) for entry in entries), where)

    def reasons(self, reasons: Iterable[Reason]) -> list[Alike[Reason]]:
        """Bring reasons together that affect the same controls, the most common first."""
        alike = self._alike(reasons, lambda each: (each.message, each.controls))
        return sorted(alike, key=lambda each: -each.where.count)

    def chains(self, diagnoses: Iterable[Diagnosis], rightly: frozenset[str]) -> list[Alike[Diagnosis]]:
        """Bring guests together whose chain is broken at the same link, in their order."""
        return self._alike(
            diagnoses,
            lambda each: (each.target in rightly, each.can_nest, each.broken_link, each.cause, bool(each.warnings)),
        )

    def _alike(self, things: Iterable[_Thing], key: Callable[[_Thing], Hashable]) -> list[Alike[_Thing]]:
        groups: dict[Hashable, list[_Thing]] = {}
        for each in things:
            groups.setdefault(key(each), []).append(each)
        return [Alike(group[0], self.spread(each.target for each in group)) for group in groups.values()]

    def maps(self) -> list[AlikeMap]:
        """Return the maps, each row for all machines and domains that have the same signs, the worst first."""
        groups: dict[str, dict[Hashable, _Rows]] = {}
        for heading, key, cells in self._rows():
            signs = frozenset((control, cell.outcome, cell.is_open_finding) for control, cell in cells.items())
            found = groups.setdefault(heading, {}).setdefault(signs, _Rows(key[0], key[1], cells))
            found.where.append(key)
        return [self._map(heading, list(of_map.values())) for heading, of_map in groups.items()]

    def _rows(self) -> Iterator[tuple[str, Key, dict[str, Cell]]]:
        """Iterate over the rows, each host with its guests: a guest's row has results of both."""
        ordered = (target for page in self._pages for target in page.targets)
        for _, group in groupby(ordered, key=lambda target: target.host or target.name):
            targets = list(group)
            results = (each for target in targets for each in self._run.results.of_target(target.name))
            for heading, rows in rows_of(results, targets).items():
                yield from ((heading, key, cells) for key, cells in rows.items())

    def _map(self, heading: str, groups: Sequence["_Rows"]) -> AlikeMap:
        findings: Counter[str] = Counter()
        for each in groups:
            findings.update({control: cell.is_open_finding * len(each.where) for control, cell in each.cells.items()})
        titles = self._run.results.titles()
        columns = tuple(
            Column(control, titles[control], findings[control]) for control in sorted(findings, key=column_rank)
        )
        made = (
            AlikeRow(
                Row(each.name, each.place, tuple(each.cells.get(column.control) for column in columns)),
                self.spread_of_rows(each.where),
            )
            for each in groups
        )
        return AlikeMap(heading, columns, sorted(made, key=lambda each: rank(each.row)))

    def lines(self) -> list[TargetLine]:
        """Return a line for each target, those with the most severe findings first."""
        made = [self._line(target) for page in self._pages for target in page.targets]
        return sorted(made, key=lambda each: (-(each.severity or 0), not each.words))

    def _line(self, target: TargetResult) -> TargetLine:
        results = self._run.results.of_target(target.name)
        found = [each for each in results if each.is_open_finding]
        severities = Counter(each.severity for each in found)
        words = [f"{severities[severity]} {severity}" for severity in sorted(severities, reverse=True)]
        causes = dict.fromkeys(each.control if each.cause is None else each.cause.code for each in found)
        undecided = Counter(each.outcome for each in results if each.is_undecided)
        words += [f"{count} {outcome.value}" for outcome, count in undecided.items()]
        waived = sum(each.outcome is Outcome.FAIL and not each.is_open_finding for each in results)
        words += [f"{waived} waived"] if waived else []
        shown = f"{', '.join(words)}{': ' if causes else ''}{', '.join(causes)}"
        return TargetLine(target, self._links.target(target.name), max(severities, default=None), shown)


@dataclass(slots=True)
class _Rows:
    name: str
    place: str | None
    cells: Mapping[str, Cell]
    where: list[Key] = field(default_factory=list)
