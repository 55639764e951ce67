"""YAML and JSON that other programs wrote, as parts that know where they stand in their file.

Only the parts that are asked for are read: an alias that would expand to gigabytes is never expanded.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from nested_kvm.errors import NotObserved
from nested_kvm.util.text import printable
from nested_kvm.util.yaml_file import YAML_PROBLEMS, RoundTripText, long_comment

YAML_LIMIT: Final = 1024 * 1024
"""Characters: ruamel.yaml reads about 200 kB a second. The same as JSON may be larger."""
DOCUMENT_LIMIT: Final = 10_000
_NAME_SHOWN: Final = 80

Key = str | int


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a document. `value` is None where the document has nothing there."""

    value: Any
    keys: tuple[Key, ...] = ()
    line: int | None = None
    """Where it stands in a YAML file, from 1; None in JSON, where `keys` say it."""

    @property
    def path(self) -> str:
        """The keys that lead to it, such as `spec.domain.cpu` or `items[3]`."""
        words = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.keys)
        return printable(words.removeprefix("."), _NAME_SHOWN) or "the document"

    @property
    def place(self) -> str:
        """What follows the name of the file: `:12`, or in JSON the path."""
        return f": {self.path}" if self.line is None else f":{self.line}"

    @property
    def is_there(self) -> bool:
        """Whether the document has a value here that is not null."""
        return self.value is not None

    def at(self, *keys: str) -> "Part":
        """The part below these keys of mappings.

        Raises:
            NotObserved: something on the way is not a mapping.
        """
        found = self
        for key in keys:
            found = found._child(key) if found._is_mapping() else Part(None, (*found.keys, key), found.line)
        return found

    def entries(self) -> Iterator["Part"]:
        """The entries of a list; none where there is no value.

        Raises:
            NotObserved: it is not a list.
        """
        if self.value is None:
            return
        if not isinstance(self.value, Sequence) or isinstance(self.value, str | bytes):
            raise NotObserved(f"{self.path} is not a list{self._where}")
        yield from (self._child(index) for index in range(len(self.value)))

    def names(self) -> list[str]:
        """The keys of a mapping that are text; none where there is no value.

        Raises:
            NotObserved: it is not a mapping.
        """
        return [str(key) for key in self.value if isinstance(key, str)] if self._is_mapping() else []

    def text(self) -> str | None:
        """The text here; None where there is no value.

        Raises:
            NotObserved: it is not text.
        """
        if self.value is None or isinstance(self.value, str):
            return None if self.value is None else str(self.value)
        raise NotObserved(f"{self.path} is not text{self._where}")

    def word(self) -> str | None:
        """The text, number or truth here as text; None where there is no value.

        Raises:
            NotObserved: it is something else.
        """
        if isinstance(self.value, bool):
            return str(self.value).lower()
        return str(self.value) if isinstance(self.value, int) else self.text()

    def truth(self) -> bool | None:
        """Whether it is true; None where there is no value.

        Raises:
            NotObserved: it is neither true nor false.
        """
        word = self.word()
        if word is not None and word not in {"true", "false"}:
            raise NotObserved(f"{self.path} is neither true nor false{self._where}")
        return None if word is None else word == "true"

    @property
    def _where(self) -> str:
        return "" if self.line is None else f" (line {self.line})"

    def _is_mapping(self) -> bool:
        if self.value is None:
            return False
        if not isinstance(self.value, Mapping):
            raise NotObserved(f"{self.path} is not a mapping{self._where}")
        return True

    def _child(self, key: Key) -> "Part":
        try:
            value = self.value[key]
        except (KeyError, IndexError):
            return Part(None, (*self.keys, key), self.line)
        return Part(value, (*self.keys, key), self._line_of(key))

    def _line_of(self, key: Key) -> int | None:
        if self.line is None or not isinstance(self.value, CommentedBase):
            return self.line
        position = (self.value.lc.data or {}).get(key)
        return self.line if position is None else int(position[0]) + 1


def yaml_documents(text: str) -> list[Part]:
    """The documents of a YAML stream; those that are empty are left out.

    Raises:
        NotObserved: it is not YAML, or too large; the message names the line.
    """
    if len(text) > YAML_LIMIT:
        raise NotObserved(f"is larger than {YAML_LIMIT // 1024 // 1024} MiB of YAML: write it as JSON")
    comment = long_comment(text.encode())
    if comment is not None:
        raise NotObserved(comment)
    yaml = YAML(typ="rt")
    yaml.Constructor = RoundTripText
    found = []
    try:
        for document in yaml.load_all(text):
            if document is not None:
                found.append(Part(document, (), _first_line(document)))
            if len(found) > DOCUMENT_LIMIT:
                raise NotObserved(f"has more than {DOCUMENT_LIMIT} documents")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise NotObserved(f"{where}{printable(error.problem or error.context)}") from None
    except RecursionError:
        raise NotObserved("is nested too deeply") from None
    except (YAMLError, ValueError, *YAML_PROBLEMS) as error:
        raise NotObserved(f"is not YAML: {printable(str(error).partition(chr(10))[0])}") from None
    return found


def json_document(text: str) -> Part:
    """The value of a JSON file.

    Raises:
        NotObserved: it is not JSON, or a key is given twice.
    """
    try:
        return Part(json.loads(text, object_pairs_hook=_without_duplicates))
    except json.JSONDecodeError as error:
        raise NotObserved(f"line {error.lineno}: is not JSON: {error.msg}") from None
    except RecursionError:
        raise NotObserved("is nested too deeply") from None
    except ValueError as error:
        raise NotObserved(f"is not JSON: {printable(error)}") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {printable(twice, _NAME_SHOWN)!r} is given twice")
    return found


def _first_line(document: object) -> int:
    return int(document.lc.line) + 1 if isinstance(document, CommentedBase) else 1
