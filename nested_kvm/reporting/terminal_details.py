"""Everything that a run found, one finding after the other: what `-v` prints."""

from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Nested
from nested_kvm.reporting.gate import without
from nested_kvm.reporting.lines import place
from nested_kvm.reporting.problem_text import role_line
from nested_kvm.reporting.terminal_output import COLOURS, COMMAND, SHOWN, Write, write_rest
from nested_kvm.results.diagnosis import Diagnosis, LinkState, SeenLink
from nested_kvm.results.run import Reason, Run
from nested_kvm.util.text import plural, printable, visible

_NAMED = 4
"""Controls that are named where one reason keeps several from being evaluated."""


def write_findings(run: Run, write: Write) -> None:
    """Print each finding with all of its evidence and commands."""
    findings = run.findings()
    for result in findings[:SHOWN]:
        severity = str(result.severity)
        write("")
        drift = "" if result.drift is None else f"  {result.drift}"
        write(f"{place(result)}  {result.control}  {severity}{drift}", **COLOURS.get(severity, {}))
        write(f"  {printable(result.message)}")
        if result.cause is not None:
            write(f"  {result.cause.code}: {result.cause.explanation}")
        role = role_line(run, result)
        if role:
            write(f"  {role}")
        for item in result.evidence:
            write(f"    {printable(item.source)}: {printable(item.text)}")
        for line in result.remediation:
            write(f"    {COMMAND}{visible(line)}" if not line.startswith("#") else f"      {visible(line)}")
    write_rest(len(findings), "finding", write)
    if findings:
        write("")


def write_reasons(heading: str, reasons: list[Reason], write: Write) -> None:
    """Print why controls could not be evaluated, a line for each subject and reason."""
    for reason in reasons[:SHOWN]:
        where = place(reason)
        message = without(where, printable(reason.message))
        write(f"{where}  {heading}: {message}  [{controls_of(reason)}]", yellow=True)
    write_rest(len(reasons), "reason", write)


def controls_of(reason: Reason) -> str:
    """Return the controls, or how many they are."""
    named = reason.controls
    return ", ".join(named) if len(named) <= _NAMED else plural(len(named), "control")


def write_diagnoses(run: Run, write: Write) -> None:
    """Print whether each guest can nest; with its chain where it cannot."""
    diagnoses = _asked_of(run)
    forbidden = {each.target for each in run.answers if each.nested is Nested.FORBIDDEN}
    for each in diagnoses[:SHOWN]:
        name = printable(each.target)
        for warning in each.warnings:
            write(f"{name}  {printable(warning)}", yellow=True)
        if each.can_nest is Answer.YES:
            write(f"{name}  can nest", green=each.target not in forbidden, red=each.target in forbidden)
            continue
        if each.can_nest is Answer.NO and each.target in forbidden:
            write(f"{name}  cannot nest, as required: {printable(each.explanation)}", green=True)
            continue
        word = "cannot nest" if each.can_nest is Answer.NO else "nesting unknown"
        write(f"{name}  {word}: {printable(each.explanation)}", yellow=True)
        write(f"  {' → '.join(_link(link) for link in each.links)}")
    write_rest(len(diagnoses), "guest", write)


def _asked_of(run: Run) -> list[Diagnosis]:
    """The diagnoses of the guests that a narrowed run asked something of; otherwise of all."""
    if not run.is_partial:
        return run.diagnoses
    asked = {name for result in run.results.sorted_by_target() for name in (result.target, result.subject)}
    return [each for each in run.diagnoses if each.target in asked]


def _link(link: SeenLink) -> str:
    marks = {LinkState.HOLDS: "✓", LinkState.BROKEN: "✗", LinkState.UNSEEN: "?", LinkState.NOTCHECKED: "-"}
    return f"{marks[link.state]} {link.name.value}"
