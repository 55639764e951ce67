"""How the summary is written to a terminal, or to a log: its width, its symbols, and how much of a list."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from nested_kvm.util.text import plural

Write = Callable[..., None]
COMMAND: Final = "$ "
SHOWN: Final = 50
"""Lines of a list that are printed; the report has all."""
COLOURS: Final[dict[str, dict[str, bool]]] = {
    "critical": {"red": True, "bold": True},
    "high": {"red": True},
    "medium": {"yellow": True},
}
IN_ASCII: Final = str.maketrans({"·": ",", "→": ">", "✓": "+", "✗": "x", "…": "..."})
"""The symbols of ours, for where they cannot be shown."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where the summary is printed."""

    width: int | None = None
    """Columns, at which prose is wrapped; None: it is not a terminal."""
    height: int = 40
    """Lines of a screen."""
    is_ascii: bool = False
    """Whether it can show nothing but ASCII."""

    def writing(self, write: Write) -> Write:
        """Return what writes a line there."""
        write = _wrapping(write, self.width) if self.width else write
        return _in_ascii(write) if self.is_ascii else write


def write_rest(count: int, noun: str, write: Write) -> None:
    """Print how many more there are than are shown."""
    if count > SHOWN:
        write(f"… and {count - SHOWN} more {plural(count, noun).partition(' ')[2]} in the report")


def _in_ascii(write: Write) -> Write:
    def replaced(line: str, **markup: bool) -> None:
        write(line.translate(IN_ASCII), **markup)

    return replaced


def _wrapping(write: Write, width: int) -> Write:
    """Wrap lines between words, and indent what follows; commands stay whole, so that they can be copied."""

    def wrapped(line: str, **markup: Any) -> None:
        text = line.lstrip(" ")
        if text.startswith(COMMAND) or len(line) <= width:
            write(line, **markup)
            return
        indent = " " * (len(line) - len(text))
        lines = textwrap.wrap(
            text,
            width,
            initial_indent=indent,
            subsequent_indent=f"{indent}    ",
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
            replace_whitespace=False,
        )
        for each in lines:
            write(each, **markup)

    return wrapped
