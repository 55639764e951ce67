"""pytest-html's table: an index of the findings, each with a link to its details above.

pytest-html puts cells into the page as they are, so everything that comes from outside is escaped here.
"""

from html import escape
from typing import Final

from nested_kvm.model.control import Severity
from nested_kvm.reporting.html.findings import anchor
from nested_kvm.results.run import Result
from nested_kvm.util.text import printable

HEADER: Final = ("Result", "Target", "Subject", "Level", "Control", "Severity", "Cause", "Order")
HIDDEN: Final = frozenset({"Result", "Order"})
"""Hidden columns: what pytest-html filters by, and what it sorts by at first (`initial_sort` in pytest.ini)."""
ROWS: Final = 300
"""Rows that a browser draws in a moment; the head of the report has every finding."""


def header_cells() -> list[str]:
    """Return the cells of the table's head."""
    return [_head(name, name.lower()) for name in HEADER]


def has_row(result: Result) -> bool:
    """Whether a result gets a row: an open finding; everything else has its own section."""
    return result.is_open_finding


def row_cells(result: Result, level: str, shown: str) -> list[str]:
    """Return the row of a finding. `shown` is pytest-html's own first cell, by which it filters."""
    cause = "" if result.cause is None else result.cause.code
    control = f'<a href="#{anchor(result)}">{escape(result.control)}</a>'
    order = f"{Severity.CRITICAL - result.severity}{_safe(result.target)}"
    return [
        shown.replace("<td", "<td hidden", 1),
        _cell("target", _safe(result.target)),
        _cell("subject", _safe(result.subject)),
        _cell("level", escape(level)),
        _cell("control", control),
        _cell("severity", str(result.severity)),
        _cell("cause", escape(cause)),
        f'<td class="col-order" hidden>{order}</td>',
    ]


def _head(name: str, column: str) -> str:
    """Return a head cell with a button, so that the keyboard can sort too."""
    button = f'<button type="button" data-column-type="{column}">{name}</button>'
    return f'<th class="sortable" data-column-type="{column}"{" hidden" if name in HIDDEN else ""}>{button}</th>'


def _cell(column: str, content: str) -> str:
    return f'<td class="col-{column}">{content}</td>'


def _safe(text: str) -> str:
    return escape(printable(text, 1000))
