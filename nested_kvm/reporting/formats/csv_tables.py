"""`results.csv` and `problems.csv`: for spreadsheets, every cell quoted, in UTF-8."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.lines import missing_part, waived_because
from nested_kvm.results.problem import FindingRef, Problem
from nested_kvm.results.problems import ref_of
from nested_kvm.results.run import Result, Run
from nested_kvm.util.text import printable, visible
from nested_kvm.util.times import iso_time

_TEXT: Final = 32_000
"""Letters of a cell: spreadsheets take 32,767."""
_REPEATED: Final = 1000
"""Letters of a cell that is remembered."""
_FORMULA: Final = r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]"
"""How a formula begins, also by the signs of full width."""
_STARTS_FORMULA: Final = re.compile(_FORMULA)
_STARTS_FORMULA_IN_OTHER_LOCALES: Final = re.compile(f";(?={_FORMULA})")
"""Where a spreadsheet takes the semicolon for the separator, quoted or not."""
_RESULT: Final = (
    "control", "target", "subject", "host", "outcome", "severity", "cause", "title", "message", "evidence", "commands",
    "waiver", "drift", "problem", "role", "observed_at",
)  # fmt: skip
_PROBLEM: Final = (
    "number", "problem", "severity", "cause", "target", "subject", "part", "source", "message", "evidence", "finding",
    "consequences", "holds_back_now", "holds_back_after_boot", "frees", "commands", "shut_down_first", "restart_after",
    "boot_makes_worse", "waived", "drift", "observed_at",
)  # fmt: skip


def results_csv(run: Run) -> Iterator[str]:
    """Return a row for each result, by target, subject and control, piece by piece."""
    observed = _observed(run)
    hosts = {each.name: each.host or "" for each in run.targets}
    yield _row(_RESULT)
    for result in chain(run.results.sorted_by_target(), missing_part(run)):
        found = run.problems.of(ref_of(result)) if result.outcome is Outcome.FAIL else None
        problem, role = ("", "") if found is None else (found[0].id, found[1].value)
        place = (result.control, result.target, result.subject, hosts.get(result.target, ""))
        yield _row((*place, *_judged(result), problem, role, observed.get(result.target, "")))


def problems_csv(run: Run) -> Iterator[str]:
    """Return a row for each problem, in the order of work."""
    observed = _observed(run)
    yield _row(_PROBLEM)
    for number, problem in enumerate(run.problems, 1):
        yield _row((str(number), *_described(problem), observed.get(problem.place.target, "")))


def _observed(run: Run) -> dict[str, str]:
    return {each.name: iso_time(each.observed_at) for each in run.targets if each.observed_at is not None}


def _judged(result: Result) -> Iterator[str]:
    yield from (result.outcome.value, str(result.severity), _code(result.cause), result.title, result.message)
    yield _evidence(result.evidence)
    yield _commands(result.remediation)
    yield "" if result.waiver is None else waived_because(result.waiver)
    yield result.drift or ""


def _described(problem: Problem) -> Iterator[str]:
    place = problem.place
    yield from (problem.id, str(problem.severity), _code(problem.cause), place.target, place.subject, place.part.value)
    yield from (place.source, problem.message, _evidence(problem.evidence))
    yield _finding(problem.finding)
    yield _lines(map(_finding, problem.consequences))
    for guests in (problem.holds_back_now, problem.holds_back_after_boot, problem.frees):
        yield _lines(guests)
    yield _commands(problem.commands)
    yield from (_lines(problem.shut_down_first), _lines(problem.restart_after))
    yield from (_yes(problem.boot_makes_worse), _yes(problem.waived), problem.drift or "")


class _Echo:
    """A file that gives what is written to it back: `writerow` returns what its file's `write` returns."""

    def write(self, text: str) -> str:
        return text


_WRITER: Final = csv.writer(_Echo(), quoting=csv.QUOTE_ALL, lineterminator="\n")


def _row(cells: Iterable[str]) -> str:
    text: str = _WRITER.writerow(map(_cell, cells))
    return text


def _cell(cell: str) -> str:
    return _repeated(cell) if len(cell) <= _REPEATED else _inert(cell)


@lru_cache(maxsize=4096)
def _repeated(cell: str) -> str:
    """An inert cell, made once for the many rows that have a control, a target or a message in common."""
    return _inert(cell)


def _inert(cell: str) -> str:
    """Return a cell of which a spreadsheet takes no line for a formula: an apostrophe in front marks it as text."""
    return "\n".join(map(_inert_line, cell.split("\n")))[:_TEXT]


def _inert_line(line: str) -> str:
    shown = _STARTS_FORMULA_IN_OTHER_LOCALES.sub(";'", printable(line, _TEXT))
    return f"'{shown}" if _STARTS_FORMULA.match(shown) else shown


def _evidence(evidence: Iterable[Evidence]) -> str:
    return _lines(f"{item.source}: {item.text}" for item in evidence)


def _lines(texts: Iterable[str]) -> str:
    """Return one text a line, each without line breaks."""
    return "\n".join(printable(text, _TEXT) for text in texts)


def _commands(commands: Sequence[str]) -> str:
    return "\n".join(map(visible, commands))


def _finding(ref: FindingRef) -> str:
    return f"{ref.control} {ref.subject}"


def _code(cause: Cause | None) -> str:
    return "" if cause is None else cause.code


def _yes(answer: bool) -> str:  # noqa: FBT001 - only for cells
    return "yes" if answer else "no"
