"""The value that a shell assigns for `NAME=VALUE` in a file that a script sources."""

import re
import shlex
from io import StringIO
from typing import Final

_BLANKS: Final = " \t\n"
"""A carriage return is not a blank: in a file from Windows it becomes part of the value."""
_PUNCTUATION: Final = ";&|<>()"
_ENDS: Final = ("#", ";", "&&")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=", re.ASCII)


def shell_word(text: str) -> str | None:
    """Return the value that a variable gets from the text after `=` on one line; None: the next line continues it.

    Quotes are removed, and variables stay unexpanded. Where another word follows, the line runs that as a command
    with the variable in its environment only: the result is empty.
    """
    try:
        word, after = _first(text)
        while another := _ASSIGNMENT.match(after):
            _, after = _first(after[another.end() :])
    except ValueError:
        return None
    return word if not after or after.startswith(_ENDS) else ""


def _first(text: str) -> tuple[str, str]:
    """Return the first word, and the text that follows it.

    Raises:
        ValueError: a quote is not closed, or the last character of the line is escaped.
    """
    if text[:1] in _BLANKS + _PUNCTUATION:
        return "", text.lstrip(_BLANKS)
    stream = StringIO(text)
    lexer = shlex.shlex(stream, posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = _BLANKS, True, ""
    word = lexer.get_token() or ""
    end = text[stream.tell() - 1 :]
    return word, end.lstrip(_BLANKS) if end[:1] in _PUNCTUATION + _BLANKS else ""
