"""A YAML file that a person wrote, and where in it something is wrong: file, line and key."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from nested_kvm.errors import UsageError

SIZE_LIMIT = 16 * 1024 * 1024
"""Bytes: an inventory of ten thousand hosts takes about one MiB."""

_COMMENTS = (NotImplementedError, AssertionError, AttributeError, IndexError, TypeError)
"""What ruamel.yaml raises beside its own errors, where it finds a comment that it has no place for."""


class _Constructor(RoundTripConstructor):
    """Leaves what looks like a date as it is written: a schema that wants one names the line of one that is none."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_yaml_str)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file holds, with the line of each key."""

    path: Path
    document: Any

    def line(self, location: Sequence[int | str]) -> int:
        """The line of the deepest part of `location` that the document has; lines start at 1."""
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

    def explain(self, error: ValidationError, empty: str) -> str:
        """Where the file breaks its schema, and how; `empty` says what follows from an empty collection."""
        return "\n".join(
            f"{self.path}:{self.line(problem['loc'])}: {_key(problem['loc'])}: {_reason(problem, empty)}"
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        )


def read_yaml(path: Path, noun: str, refusal: type[UsageError]) -> YamlFile:
    """Parse a file.

    Raises:
        UsageError: `refusal`, where it cannot be read or is no YAML; the message names file and line.
    """
    data = _read(path, noun, refusal)
    yaml = YAML(typ="rt")
    yaml.Constructor = _Constructor
    try:
        return YamlFile(path, yaml.load(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise refusal(f"{path}:{line}: is not UTF-8 text") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise refusal(f"{place}: {error.problem or error.context}") from None
    except RecursionError:
        raise refusal(f"{path}: is nested too deeply") from None
    except (YAMLError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise refusal(f"{path}: {reason}") from None
    except _COMMENTS:
        raise refusal(f"{path}: is no YAML, or has a comment in a place where it cannot be kept") from None


def _read(path: Path, noun: str, refusal: type[UsageError]) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise refusal(f"{path}: {error.strerror}") from None
    if len(data) > SIZE_LIMIT:
        raise refusal(f"{path}: is larger than {SIZE_LIMIT // 1024 // 1024} MiB: no {noun} is")
    return data


def _key(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location if part != "[key]") or "the file"


def _reason(problem: Any, empty: str) -> str:
    known = {
        "extra_forbidden": "unknown key",
        "missing": "is missing",
        "too_short": f"is empty: {empty}",
        "dict_type": "must be a mapping (`name: value` lines)",
        "model_type": "must be a mapping (`name: value` lines)",
        "list_type": "must be a list (`- ` before each entry)",
        "string_type": "must be text",
        "bool_type": "must be true or false",
    }
    return known.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ")
