"""Text from targets is hostile: what may be printed of it."""

from typing import Final

LINE_SHOWN: Final = 300


def printable(text: object, limit: int = LINE_SHOWN) -> str:
    """Make one short line: no control characters, no bidirectional marks, no markup of a terminal."""
    shown = text.decode(errors="replace") if isinstance(text, bytes | bytearray) else str(text)
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in shown).split())
    return line if len(line) <= limit else f"{line[:limit]}…"
