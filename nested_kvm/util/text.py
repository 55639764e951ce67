"""Text for people: hostile text from targets made printable, counts with their noun, lists cut short."""

import re
from collections.abc import Sequence
from typing import Final

LINE_SHOWN: Final = 300
_CI_COMMAND: Final = re.compile(r"#(?=#(?:vso)?\[)|^\s*:(?=:)", re.MULTILINE | re.IGNORECASE)
_DECIMAL: Final = re.compile(r"[0-9]{1,19}")


def printable(text: object, limit: int = LINE_SHOWN) -> str:
    """Make one short line of a text: no control characters, no bidirectional marks, no terminal escapes."""
    if type(text) is str and len(text) <= limit and _is_one_line(text):
        return text
    shown = text.decode(errors="replace") if isinstance(text, bytes | bytearray) else str(text)
    if not shown.isprintable():
        shown = "".join(letter if letter.isprintable() else " " for letter in shown)
    line = " ".join(shown.split())
    return line if len(line) <= limit else f"{line[:limit]}…"


def _is_one_line(text: str) -> bool:
    """Whether a text is one line already, as most are: of printable characters only the blank separates words."""
    return text.isprintable() and "  " not in text and text[:1] != " " and text[-1:] != " "


def visible(command: str) -> str:
    """Make a command safe to show: each character that is not printable becomes `?`, and nothing else changes."""
    return command if command.isprintable() else "".join(each if each.isprintable() else "?" for each in command)


def without_ci_commands(text: str) -> str:
    """Break up what a CI system reads as a command in a log: `##[`, `##vso[`, and `::` at the start of a line."""
    return _CI_COMMAND.sub(lambda match: f"{match[0]} ", text)


def decimal(word: str) -> int | None:
    """Return a number as a kernel prints it, of at most 19 digits; None for anything else."""
    return int(word) if _DECIMAL.fullmatch(word) else None


def plural(count: int, noun: str, many: str = "") -> str:
    """Return a count with its noun: `1 line`, `2 lines`; `many` where the plural does not end in s."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"


def first_of(items: Sequence[str], count: int, noun: str = "", many: str = "") -> list[str]:
    """Return the first `count` items; where there are more, a last entry gives their number: `and 3 more hosts`."""
    left = len(items) - count
    if left <= 0:
        return list(items)
    return [*items[:count], f"and {left} more {plural(left, noun, many).partition(' ')[2]}".rstrip()]
