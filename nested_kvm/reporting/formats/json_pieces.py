"""JSON written piece by piece, so that a report takes no more memory than its largest row."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def json_document(document: Mapping[str, Any]) -> Iterator[str]:
    """Return the text of a document, piece by piece, in ASCII. An iterator in it stands for a list, one item a line."""
    yield from _object(document)
    yield "\n"


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, Iterator):
        yield from _list(value)
    elif isinstance(value, Mapping) and any(isinstance(each, Iterator) for each in value.values()):
        yield from _object(value)
    else:
        yield json.dumps(value)


def _object(members: Mapping[str, Any]) -> Iterator[str]:
    mark = "{"
    for name, value in members.items():
        yield f"{mark}\n{json.dumps(name)}: "
        yield from _pieces(value)
        mark = ","
    yield "}" if mark == "," else "{}"


def _list(items: Iterator[Any]) -> Iterator[str]:
    mark = "["
    for item in items:
        yield f"{mark}\n"
        yield from _pieces(item)
        mark = ","
    yield "]" if mark == "," else "[]"
