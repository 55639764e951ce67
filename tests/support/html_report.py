"""`report.html` as a browser would take it apart: pytest-html keeps the table's rows as JSON and adds them itself."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from typing_extensions import override


@dataclass
class _Elements(HTMLParser):
    """Every element's start, with its attributes, and the text between."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @override
    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def elements(html: str) -> _Elements:
    parser = _Elements()
    parser.feed(html)
    parser.close()
    return parser


@dataclass(frozen=True)
class Row:
    """One row: its cells as they will be put into the page."""

    item: str
    cells: list[str]
    log: str

    @property
    def texts(self) -> list[str]:
        """What the cells show."""
        return ["".join(elements(cell).texts) for cell in self.cells]


class HtmlReport:
    """The opening, the table's head and its rows."""

    def __init__(self, html: str) -> None:
        self.page = elements(html)
        (blob,) = [attributes["data-jsonblob"] for _, attributes in self.page.tags if "data-jsonblob" in attributes]
        document: dict[str, Any] = json.loads(blob or "")
        self.rows = [
            Row(item, test["resultsTableRow"], test["log"])
            for item, tests in document["tests"].items()
            for test in tests
            if test["resultsTableRow"]
        ]
        self.text = "".join(self.page.texts)
        self.initial_sort = document["initialSort"]

    @property
    def columns(self) -> list[str | None]:
        """The head's columns, in their order."""
        return [
            attributes.get("data-column-type")
            for tag, attributes in self.page.tags
            if tag == "th" and "data-column-type" in attributes
        ]

    def tags_put_into_the_page(self) -> set[str]:
        """Return the elements that rows bring along. Logs are added as text."""
        return {tag for row in self.rows for cell in [*row.cells, row.item] for tag, _ in elements(cell).tags}
