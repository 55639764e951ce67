"""Reads YAML files that people write, and names file, line and key of every problem."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from nested_kvm.errors import FileUnusable, UsageError
from nested_kvm.util.files import read_bounded
from nested_kvm.util.schema_error import dotted, problems

SIZE_LIMIT = 16 * 1024 * 1024
"""Bytes: an inventory of ten thousand hosts takes about one MiB."""

COMMENT_LIMIT = 8 * 1024
"""Bytes of a line with a comment: ruamel.yaml's time grows with the square of its length."""
_LONG_LINE = re.compile(rb"[^\n]{%d,}" % (COMMENT_LIMIT + 1))
_LONG_COMMENT = re.compile(rb"[ \t]*(?:#|[^\s{\[#][^\n]*?[ \t]#)")
"""A comment, in a line that is not JSON: there ` #` is a part of a text."""

_DUPLICATE = re.compile(r'^(found duplicate key ".*?") with value ".*', re.DOTALL)

YAML_PROBLEMS = (NotImplementedError, AssertionError, AttributeError, IndexError, TypeError)
"""What ruamel.yaml raises beside its own errors, for a comment in a place that it does not support."""


class RoundTripText(RoundTripConstructor):
    """Leaves dates as text, so that a schema that wants a date can name the line of an invalid one."""


RoundTripText.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_yaml_str)


KnownKeys = Callable[[Sequence[int | str]], Iterable[str]]
_UNKNOWN_KEY = "extra_forbidden"


def _no_keys(_place: Sequence[int | str]) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class YamlFile:
    """The content of a YAML file, with the line of each key."""

    path: Path
    document: Any

    def line(self, location: Sequence[int | str]) -> int:
        """Return the line of the deepest part of `location` that the document has; lines start at 1."""
        line, node = 1, self.document
        for part in location:
            if not isinstance(node, CommentedBase) or not hasattr(node, "__getitem__"):
                break
            position = node.lc.data or {}
            if part in position:
                line = position[part][0] + 1
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                break
        return line

    def explain(self, error: ValidationError, empty: str, known_keys: KnownKeys = _no_keys) -> str:
        """Return a line for each place where the file breaks its schema.

        Args:
            error: what pydantic found.
            empty: what an empty collection means.
            known_keys: the keys that may stand at the place of an unknown one, to suggest the nearest.
        """
        if self.document is None:
            return f"{self.path}:1: the file: is empty: it must be a mapping (`name: value` lines)"
        return "\n".join(
            f"{self.path}:{self.line(place)}: {dotted(place) or 'the file'}: {_reason(kind, message, empty)}"
            f"{_suggestion(place, known_keys) if kind == _UNKNOWN_KEY else ''}"
            for place, kind, message in problems(error)
        )


def read_yaml(path: Path, refusal: type[UsageError]) -> YamlFile:
    """Parse a YAML file.

    Raises:
        UsageError: `refusal`, where it cannot be read or is not YAML; the message names file and line.
    """
    try:
        data = read_bounded(path, SIZE_LIMIT)
    except FileUnusable as error:
        raise refusal(f"{path}: {error}") from None
    comment = long_comment(data)
    if comment is not None:
        raise refusal(f"{path}:{comment.removeprefix('line ')}")
    yaml = YAML(typ="rt")
    yaml.Constructor = RoundTripText
    try:
        return YamlFile(path, yaml.load(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise refusal(f"{path}:{line}: is not UTF-8 text") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise refusal(f"{place}: {_in_short(str(error.problem or error.context))}") from None
    except RecursionError:
        raise refusal(f"{path}: is nested too deeply") from None
    except (YAMLError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise refusal(f"{path}: {reason}") from None
    except YAML_PROBLEMS:
        raise refusal(f"{path}: is not YAML, or has a comment where none may stand") from None


def _in_short(problem: str) -> str:
    """Return ruamel.yaml's words without the values of a key that is given twice, which may be whole hosts."""
    if "'\\t' that cannot start any token" in problem:
        return f"{problem}: indent with spaces, not with tabs"
    return _DUPLICATE.sub(r"\1: each may stand once", problem)


def long_comment(data: bytes) -> str | None:
    """Why the text must not be given to ruamel.yaml: the line of a comment that is too long; None: there is none."""
    for found in _LONG_LINE.finditer(data):
        if _LONG_COMMENT.match(found[0]):
            line = data[: found.start()].count(b"\n") + 1
            return f"line {line}: has a comment in a line of more than {COMMENT_LIMIT // 1024} KiB"
    return None


def _suggestion(place: Sequence[int | str], known_keys: KnownKeys) -> str:
    """Return the known key that looks most like an unknown one."""
    near = get_close_matches(str(place[-1]), list(known_keys(place[:-1])), n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""


def _reason(kind: str, message: str, empty: str) -> str:
    known = {
        _UNKNOWN_KEY: "unknown key",
        "missing": "is missing",
        "too_short": f"is empty: {empty}",
        "dict_type": "must be a mapping (`name: value` lines)",
        "model_type": "must be a mapping (`name: value` lines)",
        "list_type": "must be a list (`- ` before each entry)",
        "string_type": "must be text",
        "bool_type": "must be true or false",
    }
    return known.get(kind, message)
