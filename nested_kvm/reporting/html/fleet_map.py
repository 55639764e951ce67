"""The map of the fleet: a row for each machine and domain, a column for each control, one sign a cell."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.control import Level
from nested_kvm.model.severity import Severity
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.run import Result, Run, TargetResult

_UNDECIDED: Final = (Outcome.ERROR, Outcome.UNKNOWN)
_LEVELS: Final = tuple(level.value for level in Level)


@dataclass(frozen=True, slots=True)
class Column:
    """A control, and its number of open findings in this map."""

    control: str
    title: str
    findings: int


@dataclass(frozen=True, slots=True)
class Cell:
    """The outcome of a control; for a finding, waived or not, the result itself."""

    outcome: Outcome
    finding: Result | None = None

    @property
    def is_open_finding(self) -> bool:
        """Whether it is a finding that is not waived."""
        return self.finding is not None and self.finding.is_open_finding


@dataclass(frozen=True, slots=True)
class Row:
    """A machine or domain. `place` is the host it is on."""

    name: str
    place: str | None
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class FleetMap:
    """Hosts, or what runs on them."""

    heading: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


Key = tuple[str, str | None]
Rows = dict[Key, dict[str, Cell]]
_WITHOUT_FINDING: Final = {outcome: Cell(outcome) for outcome in Outcome}
"""Cells without a finding are shared, however large the fleet."""


def fleet_maps(run: Run) -> list[FleetMap]:
    """Return one map of the hosts and one of what runs on them: their controls differ."""
    return maps_of(run.results.sorted_by_target(), run.targets, run.results.titles())


def maps_of(results: Iterable[Result], targets: Iterable[TargetResult], titles: Mapping[str, str]) -> list[FleetMap]:
    """Return the maps of some targets, by their results."""
    maps = (_map(heading, rows, titles) for heading, rows in rows_of(results, targets).items())
    return [each for each in maps if each.rows]


def rows_of(results: Iterable[Result], of_targets: Iterable[TargetResult]) -> dict[str, Rows]:
    """Return the cells of each row, by the heading of its map."""
    targets = {target.name: target for target in of_targets}
    of_hosts: Rows = {}
    of_guests: Rows = {}
    for result in results:
        key = _key(result, targets)
        rows = of_hosts if key[1] is None and _is_host(targets.get(key[0])) else of_guests
        rows.setdefault(key, {})[result.control] = _cell(result)
    return {"Hosts": of_hosts, "Guests and other domains": of_guests}


def _cell(result: Result) -> Cell:
    is_finding = result.outcome is Outcome.FAIL
    return Cell(result.outcome, result) if is_finding else _WITHOUT_FINDING[result.outcome]


def _key(result: Result, targets: Mapping[str, TargetResult]) -> Key:
    """Return the row of a result: a guest inspected from inside shares the row of its domain on the host."""
    if result.subject == result.target:
        found = targets.get(result.target)
        return result.subject, None if found is None else found.host
    return result.subject, result.target


def _is_host(target: TargetResult | None) -> bool:
    return target is not None and target.level is not TargetLevel.L1


def _map(heading: str, rows: Rows, titles: Mapping[str, str]) -> FleetMap:
    columns = tuple(_columns(rows.values(), titles))
    made = (
        Row(name, place, tuple(results.get(column.control) for column in columns))
        for (name, place), results in rows.items()
    )
    return FleetMap(heading, columns, tuple(sorted(made, key=rank)))


def _columns(rows: Iterable[Mapping[str, Cell]], titles: Mapping[str, str]) -> Iterator[Column]:
    findings: dict[str, int] = {}
    for cells in rows:
        for control, cell in cells.items():
            findings[control] = findings.get(control, 0) + cell.is_open_finding
    for control in sorted(findings, key=column_rank):
        yield Column(control, titles[control], findings[control])


def column_rank(control: str) -> tuple[int, str]:
    """The order of columns."""
    return _LEVELS.index(control.partition("-")[0]), control


def rank(row: Row) -> tuple[list[int], str, str]:
    """Sort rows by their open findings, the most severe first; then by what is undecided, and by name."""
    found = (cell.finding.severity for cell in row.cells if cell is not None and cell.finding and cell.is_open_finding)
    severities = Counter(found)
    counts = [-severities[severity] for severity in reversed(Severity)]
    return [*counts, *(-_count(row.cells, outcome) for outcome in _UNDECIDED)], row.place or "", row.name


def _count(cells: Iterable[Cell | None], outcome: Outcome) -> int:
    return sum(cell is not None and cell.outcome is outcome for cell in cells)
