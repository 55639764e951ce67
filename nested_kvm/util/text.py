"""Text from targets is hostile: what may be printed of it."""

import re
from typing import Final

LINE_SHOWN: Final = 300
_DECIMAL: Final = re.compile(r"[0-9]{1,19}")


def printable(text: object, limit: int = LINE_SHOWN) -> str:
    """Make one short line: no control characters, no bidirectional marks, no markup of a terminal."""
    shown = text.decode(errors="replace") if isinstance(text, bytes | bytearray) else str(text)
    if not shown.isprintable():
        shown = "".join(letter if letter.isprintable() else " " for letter in shown)
    line = " ".join(shown.split())
    return line if len(line) <= limit else f"{line[:limit]}…"


def visible(command: str) -> str:
    """Make a command safe to show: each character that is not printable becomes `?`, and nothing else changes."""
    return command if command.isprintable() else "".join(each if each.isprintable() else "?" for each in command)


def decimal(word: str) -> int | None:
    """The number that a kernel prints; None for whatever is none, which `int` may take or refuse for its length."""
    return int(word) if _DECIMAL.fullmatch(word) else None


def plural(count: int, noun: str, many: str = "") -> str:
    """A count and its noun: `1 line`, `2 lines`."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"
