"""Problems in words, for the terminal, summary.md, scripts and monitoring: what, where, and the order of work."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.problem import FindingRef, Problem, Role
from nested_kvm.results.problems import ref_of
from nested_kvm.results.run import Result, Run
from nested_kvm.util.text import first_of, plural, printable, visible

_NAMED: Final = 8
"""Guests, targets or controls that are named, at most."""
_STEP: Final = 6
"""Lines of a first step, at most: the comments of every remedy, and the command that they lead to."""


def problems_line(run: Run) -> str:
    """Return how many problems all findings are; empty: there is no finding."""
    count, waived = len(run.problems.open), len(run.problems.waived)
    if not count and not waived:
        return ""
    findings = plural(sum(len(each.findings) for each in run.problems), "finding")
    accepted = f", {waived} of them waived" if waived else ""
    return f"{findings}: {plural(count + waived, 'problem')}{accepted}"


def alike(problems: Iterable[Problem]) -> list[list[Problem]]:
    """Bring problems together that differ only in where they are, in the order of the first of each."""
    groups: dict[tuple[object, ...], list[Problem]] = {}
    for each in problems:
        is_local = bool(each.held_back) or each.place.target != each.place.subject
        key = (each.id,) if is_local else (each.cause, each.severity, each.message, each.drift, tuple(each.commands))
        groups.setdefault(key, []).append(each)
    return list(groups.values())


def place_of(problem: Problem) -> str:
    """Return the target, and the subject where it differs."""
    target, subject = printable(problem.place.target), printable(problem.place.subject)
    return target if target == subject else f"{target} / {subject}"


def headline(problem: Problem) -> str:
    """Return a problem in one line: where, what, and when."""
    drift = "" if problem.drift is None else f"  {problem.drift}"
    when = "  after the next boot" if problem.is_of_next_boot else ""
    return f"{place_of(problem)}  {problem.finding.control}  {problem.severity}{drift}{when}"


def effect_line(problem: Problem) -> str:
    """Return which guests it holds back and which of them it frees, and what the next boot makes of it, if anything."""
    later = [name for name in problem.holds_back_after_boot if name not in problem.holds_back_now]
    parts = [
        f"holds back {names(problem.holds_back_now)}" if problem.holds_back_now else "",
        f"will hold back {names(later)} after the next boot" if later else "",
        f"frees {names(problem.frees)}" if problem.frees else "",
        "waiting makes it worse: a reboot brings it on" if problem.boot_makes_worse else "",
    ]
    return "; ".join(filter(None, parts))


def work_lines(problem: Problem) -> Iterator[str]:
    """Return what has to be off before the commands, and what to restart after them."""
    begin = " ".join(first_step(problem))
    first = [name for name in problem.shut_down_first if f"virsh shutdown {name}" not in begin]
    if first:
        yield f"shut down first: {names(first)}"
    if problem.restart_after:
        yield f"then shut down and start: {names(problem.restart_after)}"


def what(problem: Problem) -> str:
    """Return the cause and the message of a problem in one line."""
    code = "" if problem.cause is None else f"{problem.cause.code}: "
    return f"{code}{printable(problem.message)}"


def also_line(problem: Problem) -> str:
    """Return the consequences in one line: `also: L1-CPU-01, L1-KVM-01 on ci-3`; empty: there are none."""
    by_place: dict[str, list[str]] = {}
    for each in problem.consequences:
        by_place.setdefault(_place(each), []).append(each.control)
    parts = [f"{', '.join(first_of(controls, _NAMED))} on {where}" for where, controls in by_place.items()]
    return f"also: {'; '.join(first_of(parts, _NAMED, 'place'))}" if parts else ""


def first_step(problem: Problem) -> list[str]:
    """Return the first command with the comments before it; empty: there is nothing to run."""
    lines: list[str] = []
    for line in problem.commands[:_STEP]:
        lines.append(visible(line))
        if not line.startswith("#"):
            break
    return lines


def cause_line(run: Run, result: Result) -> str:
    """Return what a finding follows from, in one line; empty: it is no consequence of another."""
    found = run.problems.of(ref_of(result)) if result.outcome is Outcome.FAIL else None
    if found is None or found[1] is Role.CAUSE:
        return ""
    problem = found[0]
    code = problem.finding.control if problem.cause is None else problem.cause.code
    return f"follows from {code} at {place_of(problem)} ({problem.finding.control})"


def in_order_of_work(run: Run, findings: Iterable[Result]) -> list[Result]:
    """Return findings in the order of their problems, each cause before its consequences."""
    rank = {ref: (number, place) for number, each in enumerate(run.problems) for place, ref in enumerate(each.findings)}
    return sorted(findings, key=lambda each: rank.get(ref_of(each), (len(rank), 0)))


def problem_properties(run: Run, result: Result) -> dict[str, str]:
    """Return the id of a finding's problem and the finding's role in it; empty: it is not a finding."""
    found = run.problems.of(ref_of(result)) if result.outcome is Outcome.FAIL else None
    return {} if found is None else {"problem": found[0].id, "role": found[1].value}


def role_line(run: Run, result: Result) -> str:
    """Return the problem of a finding, for its own text; empty: it is a problem by itself."""
    found = run.problems.of(ref_of(result))
    if found is None or not found[0].consequences:
        return ""
    problem, role = found
    is_cause = role is Role.CAUSE
    part = f"the cause of {plural(len(problem.consequences), 'other finding')}" if is_cause else cause_line(run, result)
    return f"problem {problem.id}: {part}"


def names(given: Sequence[str]) -> str:
    """Return names in one line, at most so many."""
    return ", ".join(first_of([printable(each) for each in given], _NAMED))


def _place(ref: FindingRef) -> str:
    target, subject = printable(ref.target), printable(ref.subject)
    return target if target == subject else subject
