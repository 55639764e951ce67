"""The summary when the run ends: the verdict first and last, and between them what to do, on about one screen."""

from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.answer_text import answer_line, answers_line, answers_of
from nested_kvm.reporting.exposure_text import (
    WAYS_OUT,
    advisory_age_line,
    exposed_hosts,
    exposed_line,
    exposure_headline,
    has_guarded,
    proof_lines,
    still_showing_line,
)
from nested_kvm.reporting.gate import counts_line, gate_lines, without
from nested_kvm.reporting.lines import (
    drift_line,
    ended_lines,
    inspected_again_lines,
    observed_line,
    place,
    unanswered_lines,
    unchanged_line,
    waived_line,
    waivers_ending,
    waivers_to_fix,
)
from nested_kvm.reporting.problem_text import (
    alike,
    also_line,
    effect_line,
    first_step,
    headline,
    names,
    place_of,
    problems_line,
    what,
    work_lines,
)
from nested_kvm.reporting.terminal_details import controls_of, write_diagnoses, write_findings, write_reasons
from nested_kvm.reporting.terminal_output import COLOURS, COMMAND, SHOWN, Screen, Write, write_rest
from nested_kvm.reporting.verdict_text import verdict_line
from nested_kvm.results.drift import DriftSummary
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problem import Problem
from nested_kvm.results.run import Reason, Run, Threshold
from nested_kvm.results.run_verdict import RunVerdict, conclude
from nested_kvm.util.text import plural, printable

_NOT_INSPECTED: Final = "could not be inspected"
_UNDETERMINED: Final = "undetermined"


def write_summary(
    run: Run,
    write: Write,
    *,
    threshold: Threshold,
    report: str | None,
    screen: Screen | None = None,
    verbose: bool = False,
) -> None:
    """Print the verdict and the counts, then what leads to them, then both again, and where the report is.

    Args:
        run: the finished run.
        write: prints one line; takes pytest's markup words (`red=True`).
        threshold: what makes the run fail; a gate prints one verdict line per target.
        report: where the report is.
        screen: what it is printed on; None: no terminal.
        verbose: print each finding with all of its evidence and commands, and each guest's chain.
    """
    screen = screen or Screen()
    write = screen.writing(write)
    write(verdict_line(run), **_markup(run))
    for line in filter(None, (counts_line(run), problems_line(run))):
        write(line)
    _exposure(run, write)
    _answers(answers_of(run), write)
    if verbose:
        write_findings(run, write)
        write_reasons(_NOT_INSPECTED, run.reasons(Outcome.ERROR), write)
        write_reasons(_UNDETERMINED, run.reasons(Outcome.UNKNOWN), write)
        write_diagnoses(run, write)
    else:
        _problems(run.problems.open, write, screen.height)
        _reasons(_NOT_INSPECTED, run.reasons(Outcome.ERROR), write)
        _reasons(_UNDETERMINED, run.reasons(Outcome.UNKNOWN), write)
    _waivers(run, write)
    if run.drift is not None:
        _drift(run.drift, write)
    if threshold.gate:
        for line, passes in gate_lines(run, threshold):
            write(line, green=passes, red=not passes)
    for line in run.not_audited:
        write(f"not audited: {line}", yellow=True)
    _unanswered(unanswered_lines(run), write)
    for line in filter(None, (still_showing_line(run), advisory_age_line(run))):
        write(line, yellow=True)
    for line in filter(None, (unchanged_line(run), *inspected_again_lines(run)[:SHOWN], observed_line(run))):
        write(line)
    write(counts_line(run))
    write(verdict_line(run), **_markup(run))
    if report is not None:
        write(f"report: {report}")


def _unanswered(lines: list[str], write: Write) -> None:
    """Print why hosts did not say what candidates would give."""
    for line in lines[:SHOWN]:
        write(line, yellow=True)
    write_rest(len(lines), "reason", write)


def _markup(run: Run) -> dict[str, bool]:
    found = conclude(run)
    if found.verdict is RunVerdict.COMPLIANT:
        return {"green": True, "bold": not (found.known or found.other or found.waived or found.accepted)}
    return {"yellow" if found.verdict is RunVerdict.NOT_DECIDED else "red": True, "bold": True}


def _exposure(run: Run, write: Write) -> None:
    """Print who is exposed; and where a policy is guarded, the state of every advisory with what shows it."""
    exposed = exposed_hosts(run)
    if exposed:
        write("")
        write(exposure_headline(run), red=True, bold=True)
        for host in exposed[:SHOWN]:
            write(f"  {exposed_line(host)}", red=True)
        write_rest(len(exposed), "host", write)
        write(f"  {WAYS_OUT}")
    shown = run.exposures if has_guarded(run) else []
    for host in shown[:SHOWN]:
        for line in proof_lines(host):
            write(line, green=host.state == "fixed", red=host.state == "exposed", yellow=host.state == "undecided")
    write_rest(len(shown), "host", write)


def _answers(answers: list[NestingAnswer], write: Write) -> None:
    """Print whether each target nests now and after a reboot: of a large fleet the worst, and how many there are."""
    if not answers:
        return
    write("")
    for each in answers[:SHOWN]:
        colour = {True: "green", False: "red", None: "yellow"}[each.complies]
        write(answer_line(each), **{colour: True})
    write_rest(len(answers), "target", write)
    write(answers_line(answers))


def _problems(problems: tuple[Problem, ...], write: Write, height: int) -> None:
    """Print problems in the order of work, as many as a screen has room for, but one at least."""
    groups, used = alike(problems), 0
    for number, group in enumerate(groups):
        lines = _problem_lines(group)
        if number and used + len(lines) > height:
            left = sum(map(len, groups[number:]))
            write("")
            write(f"… and {plural(left, 'more problem')}: -v prints all findings, the report has everything")
            break
        used += len(lines)
        for line, markup in lines:
            write(line, **markup)
    if groups:
        write("")


def _problem_lines(group: list[Problem]) -> list[tuple[str, dict[str, bool]]]:
    problem = group[0]
    lines = [f"  {what(problem)}"]
    if len(group) > 1:
        lines.append(f"  the same on {names([place_of(each) for each in group[1:]])}")
    if problem.evidence:
        item = problem.evidence[0]
        lines.append(f"    {printable(item.source)}: {printable(item.text)}")
    lines += [f"  {line}" for line in (effect_line(problem), *work_lines(problem)) if line]
    lines += [f"      {line}" if line.startswith("#") else f"    {COMMAND}{line}" for line in first_step(problem)]
    also = also_line(problem)
    lines += [f"  {also}"] if also else []
    head = (headline(problem), COLOURS.get(str(problem.severity), {}))
    return [("", {}), head, *((line, {}) for line in lines)]


def _reasons(heading: str, reasons: list[Reason], write: Write) -> None:
    """Print why controls could not be evaluated, each reason once with all targets that it is true of."""
    groups: dict[str, list[Reason]] = {}
    for each in reasons:
        message = without(printable(each.target), without(place(each), printable(each.message)))
        groups.setdefault(message, []).append(each)
    for message, group in list(groups.items())[:SHOWN]:
        write(_reason_line(heading, message, group), yellow=True)
    write_rest(len(groups), "reason", write)


def _reason_line(heading: str, message: str, group: list[Reason]) -> str:
    if len(group) == 1:
        return f"{place(group[0])}  {heading}: {message}  [{controls_of(group[0])}]"
    controls = tuple(sorted({control for each in group for control in each.controls}))
    where = list(dict.fromkeys(map(place, group)))
    count = plural(len(where), "target" if all(each.target == each.subject for each in group) else "subject")
    return f"{count}  {heading}: {message}  [{controls_of(Reason('', '', '', controls))}]: {names(where)}"


def _waivers(run: Run, write: Write) -> None:
    waived = [*run.waived(), *run.accepted()]
    for result in waived[:SHOWN]:
        write(waived_line(result))
    write_rest(len(waived), "waived finding", write)
    for line in (*waivers_to_fix(run.waivers), *waivers_ending(run)):
        write(line, yellow=True)


def _drift(drift: DriftSummary, write: Write) -> None:
    ended = list(ended_lines(drift))
    for line in ended[:SHOWN]:
        write(line)
    write_rest(len(ended), "change", write)
    write(drift_line(drift))
