"""Shell patterns as the C library's fnmatch(3) reads them without flags, in the C locale.

kmod matches `install`, `remove`, `softdep` and `alias` lines this way (libkmod/libkmod-module.c).
Python's fnmatch supports neither backslashes nor classes such as `[[:digit:]]`, and a hostile pattern must not take
exponential time.
"""

import re
import string
from collections.abc import Callable
from dataclasses import dataclass

_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, range(32))) + "\x7f",
    "digit": string.digits,
    "graph": string.ascii_letters + string.digits + string.punctuation,
    "lower": string.ascii_lowercase,
    "print": string.ascii_letters + string.digits + string.punctuation + " ",
    "punct": string.punctuation,
    "space": string.whitespace,
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}
_CLASS = re.compile(r"\[:([a-z]+):\]")
_ANY_RUN = None
_LONGEST = 1024

_Test = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Bracket:
    """A bracket expression: which characters it names, or all but those."""

    singles: frozenset[str]
    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def __call__(self, character: str) -> bool:
        named = character in self.singles or any(low <= character <= high for low, high in self.ranges)
        return named is not self.negated


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern matches the whole name.

    Time is bounded by the product of their lengths. A pattern of more than 1024 characters matches nothing.
    """
    tests = _compiled(pattern) if len(pattern) <= _LONGEST else None
    if tests is None:
        return False
    at, name_at, star, star_at = 0, 0, -1, 0
    while name_at < len(name):
        test = tests[at] if at < len(tests) else _nothing
        if test is _ANY_RUN:
            star, star_at, at = at, name_at, at + 1
        elif test(name[name_at]):
            at, name_at = at + 1, name_at + 1
        elif star >= 0:
            at, star_at = star + 1, star_at + 1
            name_at = star_at
        else:
            return False
    return all(test is _ANY_RUN for test in tests[at:])


def _nothing(_character: str) -> bool:
    return False


def _anything(_character: str) -> bool:
    return True


def _compiled(pattern: str) -> list[_Test | None] | None:
    """Turn a pattern into one test a character; None for one that matches nothing at all."""
    tests: list[_Test | None] = []
    at = 0
    while at < len(pattern):
        character, at = pattern[at], at + 1
        if character == "*":
            tests.append(_ANY_RUN)
        elif character == "?":
            tests.append(_anything)
        elif character == "[" and (bracket := _bracket(pattern, at)) is not None:
            test, at = bracket
            tests.append(test)
        elif character == "\\":
            if at == len(pattern):
                return None
            tests.append(pattern[at].__eq__)
            at += 1
        else:
            tests.append(character.__eq__)
    return tests


def _bracket(pattern: str, at: int) -> tuple[_Bracket, int] | None:
    """Read a bracket expression that opened just before `at`; None where it never closes: then `[` is a letter."""
    negated = pattern[at : at + 1] in {"!", "^"}
    first = at = at + negated
    singles: set[str] = set()
    ranges: list[tuple[str, str]] = []
    while at < len(pattern):
        if pattern[at] == "]" and at > first:
            return _Bracket(frozenset(singles), tuple(ranges), negated), at + 1
        named = _CLASS.match(pattern, at)
        if named:
            singles.update(_CLASSES.get(named[1], ""))
            at = named.end()
            continue
        low, at = _literal(pattern, at)
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in {"", "]"}:
            high, at = _literal(pattern, at + 1)
            ranges.append((low, high))
        else:
            singles.add(low)
    return None


def _literal(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] == "\\" and at + 1 < len(pattern):
        return pattern[at + 1], at + 2
    return pattern[at], at + 1
