"""A value as the shell takes it: of `NAME=VALUE` in a file that a script reads with `.`."""

import re
import shlex
from io import StringIO
from typing import Final

_BLANKS: Final = " \t\n"
"""A carriage return is none: written on Windows, it becomes a part of the value."""
_PUNCTUATION: Final = ";&|<>()"
_ENDS: Final = ("#", ";", "&&")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=", re.ASCII)


def shell_word(text: str) -> str | None:
    """What a variable is set to by what stands after its `=` on one line; None: it goes on on the next line.

    Quotes are taken off, and variables stay as they are written. Where another word follows, the line runs that as a
    command, and sets nothing.
    """
    try:
        word, after = _first(text)
        while another := _ASSIGNMENT.match(after):
            _, after = _first(after[another.end() :])
    except ValueError:
        return None
    return word if not after or after.startswith(_ENDS) else ""


def _first(text: str) -> tuple[str, str]:
    """The word at the very beginning, and what follows it.

    Raises:
        ValueError: a quote is not closed, or the last letter of the line is escaped.
    """
    if text[:1] in _BLANKS + _PUNCTUATION:
        return "", text.lstrip(_BLANKS)
    stream = StringIO(text)
    lexer = shlex.shlex(stream, posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = _BLANKS, True, ""
    word = lexer.get_token() or ""
    end = text[stream.tell() - 1 :]
    return word, end.lstrip(_BLANKS) if end[:1] in _PUNCTUATION + _BLANKS else ""
