"""JSON written piece by piece, so that a report takes no more memory than its largest row."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

_encode: Final = json.JSONEncoder().encode


def json_document(document: Mapping[str, Any] | Iterator[Any]) -> Iterator[str]:
    """Return the text of a document, piece by piece, in ASCII. An iterator in it stands for a list, one item a line."""
    yield from _pieces(document)
    yield "\n"


def _pieces(value: Any) -> Iterator[str]:
    if hasattr(value, "__next__"):
        return _list(value)
    try:
        return iter((_encode(value),))
    except TypeError:  # there is an iterator in it, of which nothing was taken
        if not isinstance(value, Mapping):
            raise
        return _object(value)


def _object(members: Mapping[str, Any]) -> Iterator[str]:
    mark = "{"
    for name, value in members.items():
        yield f"{mark}\n{_encode(name)}: "
        yield from _pieces(value)
        mark = ","
    yield "}" if mark == "," else "{}"


def _list(items: Iterator[Any]) -> Iterator[str]:
    mark = "["
    for item in items:
        pieces = _pieces(item)
        yield f"{mark}\n{next(pieces)}"
        yield from pieces
        mark = ","
    yield "]" if mark == "," else "[]"
