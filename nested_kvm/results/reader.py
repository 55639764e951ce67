"""Reads another run's `results.json` as a stream: row by row, each with its place, whatever the file's size.

Every byte may be hostile, and ijson guards against numbers and nesting of any length only as far as this module asks it
to; a file that is not exactly as a run writes it ends the merge.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, Protocol

import ijson

from nested_kvm.errors import UsageError
from nested_kvm.results.run import RESULTS_SCHEMA
from nested_kvm.util.text import printable

SIZE_LIMIT: Final = 512 * 1024 * 1024
"""Bytes: 10,000 hosts take about 200 MiB."""
TEXT_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of one text: a target's whole answer, of four MiB, may be quoted, and each of its letters escaped."""
ROW_LIMIT: Final = 64 * 1024 * 1024
"""Letters of one row, which may quote such an answer several times."""
_BUFFER: Final = 1024 * 1024
"""Bytes: the C library reads a text that spans several buffers again for each."""
_DEPTH: Final = 6
"""Levels of nesting of one row; those of a run have four at most."""
_EACH: Final = 16
"""Bytes that a value counts for, beside its text: so a row of brackets alone is limited as well."""
_LISTS: Final = frozenset({"targets", "results", "diagnoses", "answers", "problems", "exposures", "waivers"})
_PAST: Final = frozenset({"fixed", "gone", "unjudged", "vanished"})
_NEEDED: Final = ("schema", "run", "targets", "results", "diagnoses")
_FIRST: Final = _NEEDED[:3]
"""Sections that the others are checked against; they come first, as a run writes them."""

Tell = Callable[[int], None]
"""Takes how many bytes were read since the last call."""
_Event = tuple[str, Any]


class Hashed(Protocol):
    """A digest in the making, as hashlib's."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value of the document: an item of a list, or the value of a key."""

    section: str
    place: str
    value: Any


class Unusable(UsageError):
    """A results file is not usable: the message states what and where; the caller adds the file's name."""


def path_of(given: Path) -> Path:
    """Return the results file of a run that was given by its folder."""
    return given / "results.json" if given.is_dir() else given


def rows_of(path: Path, tell: Tell, hashed: "Hashed | None" = None) -> Iterator[Row]:
    """Iterate over everything that the file holds, in its order; `hashed` is given every byte of it.

    Raises:
        Unusable: it cannot be read, or is not what a run writes; the message names the place.
    """
    if path.exists() and not path.is_file():
        raise Unusable("is not a file: give the folder of a run, which holds its results.json")
    try:
        with path.open("rb") as file:
            yield from _Document(file, tell, hashed).rows()
    except OSError as error:
        raise Unusable(error.strerror or str(error)) from None


class _Bounded:
    """A file in which the size of a single text is limited."""

    def __init__(self, file: BufferedReader, tell: Tell, hashed: "Hashed | None") -> None:
        self._file = file
        self._tell = tell
        self._hashed = hashed
        self._whole = 0
        self.of_one = 0
        """Bytes since the last value."""

    def read(self, size: int = -1) -> bytes:
        """Read on.

        Raises:
            Unusable: the file or the text is too long.
        """
        data = self._file.read(size)
        self._whole += len(data)
        self.of_one += len(data)
        if self._whole > SIZE_LIMIT:
            raise Unusable(f"is larger than {SIZE_LIMIT // 1024 // 1024} MiB")
        if self.of_one > TEXT_LIMIT:
            raise Unusable(f"has a text of more than {TEXT_LIMIT // 1024 // 1024} MiB")
        if self._hashed is not None:
            self._hashed.update(data)
        self._tell(len(data))
        return data


class _Document:
    def __init__(self, file: BufferedReader, tell: Tell, hashed: "Hashed | None") -> None:
        self._bytes = _Bounded(file, tell, hashed)
        # Integers as the C library parses them: those of any length crash it.
        self._events: Iterator[_Event] = iter(ijson.basic_parse(self._bytes, buf_size=_BUFFER, use_float=True))
        self._place = "its beginning"
        self._size = 0

    def rows(self) -> Iterator[Row]:
        """See `rows_of`."""
        if self._next()[0] != "start_map":
            raise Unusable("is not a JSON object, so not a results.json")
        seen: list[str] = []
        for section in self._keys():
            self._check_order(section, seen)
            yield from self._section(section)
            seen.append(section)
        self._end()
        missing = [section for section in _NEEDED if section not in seen]
        if missing:
            raise Unusable(f"{missing[0]}: is missing")

    def _check_order(self, section: str, seen: list[str]) -> None:
        late = [name for name in _FIRST if name not in seen]
        if late and section not in late[:1]:
            expected = f"{late[0]} stands before {printable(section, 60)}"
            raise Unusable(f"{self._place}: in what a run writes {expected}: merge the file as the run left it")

    def _section(self, section: str) -> Iterator[Row]:
        self._begin(section)
        event = self._next()
        if section in _LISTS:
            yield from self._items(section, event)
        elif section == "drift" and event[0] == "start_map":
            yield from self._drift()
        elif section == "schema":
            _check_schema(self._value(event))
        elif section in {"run", "drift"}:
            yield Row(section, section, self._value(event))
        else:
            raise Unusable(f"{printable(section, 60)}: is not a key of {RESULTS_SCHEMA}")

    def _drift(self) -> Iterator[Row]:
        """Read the lists of `drift` row by row, then the rest of it."""
        rest: dict[str, Any] = {}
        for key in self._keys():
            self._begin(f"drift.{printable(key, 60)}")
            event = self._next()
            if key in _PAST:
                yield from self._items(f"drift.{key}", event)
            else:
                rest[key] = self._value(event)
        yield Row("drift", "drift", rest)

    def _items(self, section: str, event: _Event) -> Iterator[Row]:
        if event[0] != "start_array":
            raise Unusable(f"{section}: is not a list")
        number = 0
        self._begin(f"{section}.{number}")
        while (event := self._next())[0] != "end_array":
            yield Row(section, self._place, self._value(event))
            number += 1
            self._begin(f"{section}.{number}")

    def _keys(self) -> Iterator[str]:
        """Iterate over the keys of an object; the caller reads the value of each."""
        seen: set[str] = set()
        while (event := self._next())[0] != "end_map":
            key = str(event[1])
            if key in seen:
                raise Unusable(f"{self._place}: has the key {printable(key, 60)!r} twice")
            seen.add(key)
            yield key

    def _value(self, event: _Event, depth: int = 0) -> Any:
        if depth > _DEPTH:
            raise Unusable(f"{self._place}: is nested too deeply")
        if event[0] == "start_map":
            return {key: self._value(self._next(), depth + 1) for key in self._keys()}
        if event[0] == "start_array":
            found = []
            while (event := self._next())[0] != "end_array":
                found.append(self._value(event, depth + 1))
            return found
        return event[1]

    def _begin(self, place: str) -> None:
        self._place = place
        self._size = 0

    def _next(self) -> _Event:
        event = self._parsed()
        if event is None:
            raise Unusable(f"{self._place}: ends in the middle")
        self._bytes.of_one = 0
        self._size += _EACH + (len(event[1]) if isinstance(event[1], str) else 0)
        if self._size > ROW_LIMIT:
            raise Unusable(f"{self._place}: has more than {ROW_LIMIT // 1024 // 1024} MiB")
        return event

    def _end(self) -> None:
        """Check that nothing follows the document."""
        if self._parsed() is not None:
            raise Unusable("has something after its end")

    def _parsed(self) -> _Event | None:
        try:
            return next(self._events, None)
        except (ijson.JSONError, ValueError) as error:
            words = error.args[0] if error.args else error
            reason = printable(words, 1000).partition("  ")[0][:100]
            raise Unusable(f"{self._place}: is not valid JSON: {reason}") from None


def _check_schema(found: object) -> None:
    if found != RESULTS_SCHEMA:
        raise Unusable(f"is of schema {printable(found, 60)!r}, not {RESULTS_SCHEMA!r}")
