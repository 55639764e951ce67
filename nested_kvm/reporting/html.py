"""`report.html`: pytest-html's report with the suite's own opening and columns.

pytest-html puts cells and node ids into the page as they are, so everything that comes from outside is
escaped here.
"""

from html import escape
from typing import Final

from nested_kvm.results import Result, Run
from nested_kvm.text import printable
from nested_kvm.verdict import Outcome

HEADER: Final = ("Result", "Target", "Subject", "Level", "Control", "Severity", "Cause", "Remediation")


def header_cells() -> list[str]:
    """The table's head."""
    return [f'<th class="sortable" data-column-type="{name.lower()}">{name}</th>' for name in HEADER]


def row_cells(result: Result, level: str, shown: str) -> list[str]:
    """One result's row; `shown` is pytest-html's own first cell, by which it sorts failures first."""
    remedy = "<br>".join(f"<code>{_safe(line)}</code>" for line in result.remediation)
    texts = (result.target, result.subject, level, result.control, str(result.severity))
    columns = [_cell(name.lower(), _safe(text)) for name, text in zip(HEADER[1:], texts, strict=False)]
    cause = "" if result.cause is None else result.cause.code
    return [shown, *columns, _cell("cause", _safe(cause)), _cell("remediation", remedy)]


def opening(run: Run) -> list[str]:
    """What the report says first: the verdict, the findings, and what could not be looked at."""
    counts = ", ".join(f"{run.count(outcome)} {outcome.value}" for outcome in Outcome if run.count(outcome))
    parts = [f"<p><b>{_verdict(run)}</b> {escape(counts)}.</p>"]
    parts += _list("Findings", run.ended(Outcome.FAIL))
    parts += _list("Could not be looked at", run.ended(Outcome.ERROR))
    parts += _list("Not decided by the evidence", run.ended(Outcome.UNKNOWN))
    return parts


def log_of(result: Result) -> str:
    """What a row opens to, as plain text; pytest-html escapes it."""
    lines = [result.title, "", f"{result.outcome.value}: {printable(result.message, 2000)}"]
    if result.cause is not None:
        lines.append(f"cause: {result.cause.code}: {result.cause.explanation}")
    lines += [f"evidence: {printable(item.source)}: {printable(item.text, 2000)}" for item in result.evidence]
    lines += [f"remediation: {line}" for line in result.remediation]
    return "\n".join(lines)


def _verdict(run: Run) -> str:
    if run.count(Outcome.FAIL):
        return "Not compliant."
    return "Not fully looked at." if run.count(Outcome.ERROR) or run.exit_status else "Compliant."


def _list(heading: str, results: list[Result]) -> list[str]:
    if not results:
        return []
    items = "".join(f"<li>{_item(result)}</li>" for result in results)
    return [f"<h2>{escape(heading)}</h2><ul>{items}</ul>"]


def _item(result: Result) -> str:
    cause = f" <i>{escape(result.cause.explanation)}</i>" if result.cause else ""
    evidence = "".join(f"<br><small>{_safe(item.source)}: {_safe(item.text)}</small>" for item in result.evidence)
    remedy = "".join(f"<br><code>{_safe(line)}</code>" for line in result.remediation)
    return (
        f"<b>{_safe(result.subject)}</b> {escape(result.control)} ({result.severity}): "
        f"{_safe(result.message)}{cause}{evidence}{remedy}"
    )


def _cell(column: str, content: str) -> str:
    return f'<td class="col-{column}">{content}</td>'


def _safe(text: str) -> str:
    return escape(printable(text, 1000))
