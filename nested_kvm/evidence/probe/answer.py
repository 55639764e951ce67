"""Parses the probe's answer into readings. `1-frames.sh` writes the frames."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from nested_kvm.errors import AnswerUnusable
from nested_kvm.evidence.reading import Reading, Status

VERSION: Final = "1"
_KILLED: Final = frozenset({124, 137})
"""The exit status of timeout(1): 124, or 128 + SIGKILL where it sends that signal."""
_NO_MARK: Final = 300
_SHARED: Final = 64 * 1024
"""Characters: about the cpuinfo of a hundred CPUs."""
_HEADER: Final = re.compile(rb"^@([0-9A-Za-z-]{8,80}) nested-kvm-probe [^\r\n]*(\r?)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """Every reading that arrived complete. `cut` names the reading in which the answer broke off, if it did."""

    readings: dict[str, Reading]
    cut: str | None = None


def parse_answer(data: bytes, nonce: str) -> ProbeAnswer:
    """Parse an answer. Output of a login shell before the probe's first line is skipped.

    Sample::

        @NONCE nested-kvm-probe 1
        @NONCE begin uname -m
        x86_64

        @NONCE end exit 0
        @NONCE done

    Raises:
        AnswerUnusable: it is empty, of another version, or not the probe's.
    """
    text = data.decode("utf-8", "replace")
    header, found, body = text.partition(f"@{nonce} nested-kvm-probe ")
    if not found:
        raise AnswerUnusable(_not_the_probe(header))
    version, _, body = body.partition("\n")
    if version != VERSION:
        raise AnswerUnusable(f"the answer is of probe version {version[:20]!r}, not {VERSION}")
    return _frames(body, nonce)


def parse_answer_of_any_nonce(data: bytes) -> ProbeAnswer:
    """Parse an answer with an unknown nonce, which the probe chooses itself where none is given.

    A terminal between the probe and the stored answer adds a carriage return before each newline: it is removed.

    Raises:
        AnswerUnusable: it is empty, of another version, or not the probe's.
    """
    header = _HEADER.search(data)
    if header is None:
        raise AnswerUnusable(_not_the_probe(data[: 4 * _NO_MARK].decode("utf-8", "replace")))
    whole = data.replace(b"\r\n", b"\n") if header[2] else data
    return parse_answer(whole, header[1].decode())


def _not_the_probe(text: str) -> str:
    if not text.strip():
        return "the answer is empty"
    start = text.strip()[:_NO_MARK].splitlines()[0]
    return f"the answer is not the probe's; it starts with {start!r}"


def _frames(body: str, nonce: str) -> ProbeAnswer:
    begin, end = f"@{nonce} begin ", f"\n@{nonce} end "
    readings: dict[str, Reading] = {}
    broken: list[str] = []
    position = 0
    while body.startswith(begin, position):
        start = position + len(begin)
        another = body.find(begin, start)
        limit = another if another >= 0 else len(body)
        newline = body.find("\n", start, limit)
        ends_at = body.find(end, newline + 1, limit) if newline >= 0 else -1
        source = body[start : newline if newline >= 0 else limit]
        if another >= 0 > ends_at:
            broken.append(source)
            position = another
            continue
        state, behind = _line(body, ends_at + len(end))
        if -1 in {ends_at, behind}:
            return ProbeAnswer(_with_broken(readings, broken), source)
        readings.setdefault(source, _shared(source, body[newline + 1 : ends_at], state))
        position = behind
    is_whole = body.startswith(f"@{nonce} done", position)
    return ProbeAnswer(_with_broken(readings, broken), None if is_whole else "a place between two readings")


def _with_broken(readings: dict[str, Reading], broken: Sequence[str]) -> dict[str, Reading]:
    """Add the readings in which another one begins, unless they were repeated: the program that printed them died."""
    return {**{source: Reading(source, Status.UNREADABLE) for source in broken}, **readings}


def _shared(source: str, text: str, end: str) -> Reading:
    """The same reading, made and stored once for all machines that have it: most are the same across a fleet."""
    make = _once if len(source) + len(text) + len(end) <= _SHARED else _reading
    return make(source, text, end)


@lru_cache(maxsize=2048)
def _once(source: str, text: str, end: str) -> Reading:
    return _reading(source, text, end)


def _line(body: str, start: int) -> tuple[str, int]:
    """The rest of the line, and where the next one begins; -1: the line has no end."""
    newline = body.find("\n", start)
    return (body[start:], -1) if newline < 0 else (body[start:newline], newline + 1)


def _reading(source: str, text: str, end: str) -> Reading:
    state, _, link = end.partition(" -> ")
    text = text.removesuffix("\n")
    if state.startswith("exit "):
        return _command(source, text, state.removeprefix("exit "))
    try:
        return Reading(source, Status(state), text, link=link or None)
    except ValueError:
        raise AnswerUnusable(f"the answer ends {source!r} with {state[:40]!r}, which is not a state") from None


def _command(source: str, text: str, status: str) -> Reading:
    try:
        number = int(status)
    except ValueError:
        raise AnswerUnusable(f"the answer gives {source!r} the exit status {status[:40]!r}") from None
    if number in _KILLED:
        return Reading(source, Status.TIMED_OUT, text, number)
    return Reading(source, Status.OK if number == 0 else Status.FAILED, text, number)
