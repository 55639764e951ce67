"""`report.html`: pytest-html's report with the suite's own opening and columns.

pytest-html puts cells and node ids into the page as they are, so everything that comes from outside is
escaped here.
"""

from html import escape
from typing import Final

from nested_kvm.control import Severity
from nested_kvm.diagnosis import Diagnosis
from nested_kvm.results import Reason, Result, Run
from nested_kvm.text import printable, visible
from nested_kvm.verdict import Outcome

HEADER: Final = (
    "Result", "Outcome", "Target", "Subject", "Level", "Control", "Severity", "Cause", "Remediation", "Order",
)  # fmt: skip
HIDDEN: Final = "Order"
"""Not shown: what pytest-html sorts by at first (`initial_sort` in pytest.ini)."""
_ORDER: Final = {
    outcome: rank
    for rank, outcome in enumerate((Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN, Outcome.INFORMATIONAL, Outcome.PASS))
}


def header_cells() -> list[str]:
    """The table's head."""
    return [
        f'<th class="sortable" data-column-type="{name.lower()}"{" hidden" if name == HIDDEN else ""}>{name}</th>'
        for name in HEADER
    ]


def row_cells(result: Result, level: str, shown: str) -> list[str]:
    """One result's row. `shown` is pytest-html's own first cell, by whose word it filters."""
    texts = (
        result.outcome.value,
        result.target,
        result.subject,
        level,
        result.control,
        str(result.severity),
        "" if result.cause is None else result.cause.code,
    )
    columns = [_cell(name.lower(), _safe(text)) for name, text in zip(HEADER[1:-2], texts, strict=True)]
    remedy = "<br>".join(f"<code>{escape(visible(line))}</code>" for line in result.remediation)
    order = f"{_ORDER.get(result.outcome, len(_ORDER))}{-result.severity + Severity.CRITICAL}{_safe(result.target)}"
    return [shown, *columns, _cell("remediation", remedy), f'<td class="col-order" hidden>{order}</td>']


def opening(run: Run) -> list[str]:
    """What the report says first: the verdict, the findings, and what could not be looked at."""
    counts = ", ".join(f"{run.count(outcome)} {outcome.value}" for outcome in Outcome if run.count(outcome))
    parts = [f"<p><b>{_verdict(run)}</b> {escape(counts)}.</p>"]
    parts += _findings(run.ended(Outcome.FAIL))
    parts += _reasons("Could not be looked at", run.reasons(Outcome.ERROR))
    parts += _reasons("Not decided by the evidence", run.reasons(Outcome.UNKNOWN))
    parts += _diagnoses(run.diagnoses)
    return parts


def log_of(result: Result) -> str:
    """What a row opens to, as plain text; pytest-html escapes it."""
    lines = [result.title, "", f"{result.outcome.value}: {printable(result.message, 2000)}"]
    if result.cause is not None:
        lines.append(f"cause: {result.cause.code}: {result.cause.explanation}")
    lines += [f"evidence: {printable(item.source)}: {printable(item.text, 2000)}" for item in result.evidence]
    lines += [f"remediation: {visible(line)}" for line in result.remediation]
    return "\n".join(lines)


def _verdict(run: Run) -> str:
    if not run.complete:
        return "Incomplete: the run ended before everything was judged."
    if run.count(Outcome.FAIL):
        return "Not compliant."
    return "Not fully looked at." if run.count(Outcome.ERROR) or run.exit_status else "Compliant."


def _findings(results: list[Result]) -> list[str]:
    return _list("Findings", [_item(result) for result in results])


def _diagnoses(diagnoses: list[Diagnosis]) -> list[str]:
    return _list("Can the guests nest?", [_diagnosis(each) for each in diagnoses])


def _diagnosis(diagnosis: Diagnosis) -> str:
    links = " → ".join(f"{link.name.value} {link.state.value}" for link in diagnosis.links)
    remedy = "".join(f"<br><code>{escape(visible(line))}</code>" for line in diagnosis.remediation)
    warnings = "".join(f"<br><i>{_safe(warning)}</i>" for warning in diagnosis.warnings)
    return (
        f"<b>{_safe(diagnosis.target)}</b> {diagnosis.can_nest.value}: {_safe(diagnosis.explanation)}"
        f"<br><small>{links}</small>{warnings}{remedy}"
    )


def _reasons(heading: str, reasons: list[Reason]) -> list[str]:
    return _list(
        heading,
        [f"<b>{_safe(each.subject)}</b> {_safe(each.message)} ({', '.join(each.controls)})" for each in reasons],
    )


def _list(heading: str, items: list[str]) -> list[str]:
    shown = "".join(f"<li>{item}</li>" for item in items)
    return [f"<h2>{escape(heading)}</h2><ul>{shown}</ul>"] if items else []


def _item(result: Result) -> str:
    cause = f" <i>{escape(result.cause.explanation)}</i>" if result.cause else ""
    evidence = "".join(f"<br><small>{_safe(item.source)}: {_safe(item.text)}</small>" for item in result.evidence)
    remedy = "".join(f"<br><code>{escape(visible(line))}</code>" for line in result.remediation)
    return (
        f"<b>{_safe(result.subject)}</b> {escape(result.control)} ({result.severity}): "
        f"{_safe(result.message)}{cause}{evidence}{remedy}"
    )


def _cell(column: str, content: str) -> str:
    return f'<td class="col-{column}">{content}</td>'


def _safe(text: str) -> str:
    return escape(printable(text, 1000))
