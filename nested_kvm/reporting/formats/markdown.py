"""`summary.md`: the run for people, where CI shows Markdown."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.answer_text import answer_line, answers_line, answers_of
from nested_kvm.reporting.exposure_text import (
    WAYS_OUT,
    advisory_age_line,
    exposed_hosts,
    exposed_line,
    exposure_headline,
    still_showing_line,
)
from nested_kvm.reporting.gate import counts_line
from nested_kvm.reporting.lines import (
    drift_line,
    ended_lines,
    observed_line,
    place,
    unchanged_line,
    waived_line,
    waivers_ending,
    waivers_to_fix,
)
from nested_kvm.reporting.problem_text import (
    also_line,
    effect_line,
    first_step,
    place_of,
    problems_line,
    what,
    work_lines,
)
from nested_kvm.reporting.verdict_text import verdict_line
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problem import Problem
from nested_kvm.results.run import Reason, Run
from nested_kvm.util.text import first_of, printable

LIMIT: Final = 1024 * 1024 - 1024
"""Bytes: GitHub drops a step's summary of more than one MiB."""
LEAST: Final = 1024
"""Bytes: in less, nothing worth reading fits."""
_ROOM_FOR_END: Final = 200
_ANSWERS: Final = 50
"""Targets of which the answer is written."""
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()#+!|<>&~@])")


def summary_markdown(run: Run, limit: int = LIMIT) -> str:
    """Return verdict, answers, problems, what could not be evaluated, waivers and drift, in at most `limit` bytes."""
    kept: list[str] = []
    size = 0
    for line in _lines(run):
        size += len(line.encode(errors="replace")) + 1
        if size > limit - _ROOM_FOR_END:
            kept.append("\n… and more: this summary is cut short, the report has everything.")
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def _lines(run: Run) -> Iterator[str]:
    yield from ("## Nested KVM compliance", "", f"**{_safe(verdict_line(run))}**", "", f"{_safe(counts_line(run))}.")
    yield from _exposure(run)
    for line in run.not_audited:
        yield from ("", f"Not audited: {_safe(line)}.")
    if observed_line(run):
        yield from ("", f"{_safe(observed_line(run)).capitalize()}.")
    if unchanged_line(run):
        yield from ("", f"{_safe(unchanged_line(run))}.")
    for line in filter(None, (still_showing_line(run), advisory_age_line(run))):
        yield from ("", f"{_safe(line[:1].upper() + line[1:])}.")
    if run.drift is not None:
        yield from ("", _safe(drift_line(run.drift)) + ".")
    yield from _answers(answers_of(run))
    yield from _problems(run)
    yield from _reasons("Could not be inspected", run.reasons(Outcome.ERROR))
    yield from _reasons("Undetermined", run.reasons(Outcome.UNKNOWN))
    yield from _list("Waivers to fix", waivers_to_fix(run.waivers))
    yield from _list("Waivers that end soon", waivers_ending(run))
    yield from _list("Waived", map(waived_line, [*run.waived(), *run.accepted()]))
    if run.drift is not None:
        yield from _list("Since the baseline", ended_lines(run.drift))


def _exposure(run: Run) -> Iterator[str]:
    exposed = exposed_hosts(run)
    if exposed:
        yield from (
            "",
            f"### {_safe(exposure_headline(run))}",
            "",
            f"{_safe(WAYS_OUT[:1].upper() + WAYS_OUT[1:])}.",
            "",
        )
        yield from (f"- {_safe(exposed_line(host))}" for host in exposed)


def _answers(answers: list[NestingAnswer]) -> Iterator[str]:
    """Whether each target nests, the worst first: of a large fleet so many, and how many there are."""
    lines = first_of([answer_line(each) for each in answers], _ANSWERS, "target")
    yield from _list("Can guests nest?", [answers_line(answers), *lines] if answers else [])


def _problems(run: Run) -> Iterator[str]:
    """The problems in the order of work: what is wrong, what follows from it, and the first command."""
    rows = [_row(each) for each in run.problems.open]
    if rows:
        yield from ("", f"### Problems ({_safe(problems_line(run))})", "")
        yield from ("| severity | where | control | problem | what to do | drift |", "|---|---|---|---|---|---|", *rows)


def _row(problem: Problem) -> str:
    effect = "; ".join(filter(None, (what(problem), effect_line(problem), also_line(problem))))
    work = "; ".join((*work_lines(problem), *first_step(problem)))
    drift = "" if problem.drift is None else problem.drift.value
    where, control = _safe(place_of(problem)), problem.finding.control
    return f"| {problem.severity} | {where} | {control} | {_safe(effect)} | {_safe(work)} | {drift} |"


def _reasons(heading: str, reasons: Iterable[Reason]) -> Iterator[str]:
    lines = (f"{place(each)}: {printable(each.message)} ({', '.join(each.controls)})" for each in reasons)
    yield from _list(heading, lines)


def _list(heading: str, lines: Iterable[str]) -> Iterator[str]:
    items = [f"- {_safe(line)}" for line in lines]
    if items:
        yield from ("", f"### {heading}", "", *items)


def _safe(text: str) -> str:
    """Escape a text: it contains no Markdown, no HTML and no mention of a person."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", printable(text, 600))
