"""One line of a modprobe.d file, read as kmod reads it.

Sources: `freadline_wrapped` and `underscores` in kmod's shared/util.c, `kmod_config_parse` in
libkmod/libkmod-config.c, modprobe.d(5).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from nested_kvm.evidence.reading import Evidence
from nested_kvm.facts.modprobe.kmod import Kmod

_BLANKS = "\t "
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PAIRED = re.compile(r"(?>[^\[\]]++|\[[^\]]*+\])*+")
_PIECE = re.compile(r"\[[^\]]*\]|[^\[\]]+")
_END_OF_FILE = "\N{REPLACEMENT CHARACTER}"  # How the byte 0xff reads once it is decoded.
_SMALL = 16 * 1024
"""Letters of a file whose lines are kept for the next machine that has the same."""
_KVM_MODULES = frozenset({"kvm", "kvm_amd", "kvm_intel", "kvm_hv", "kvm_pr"})


class Directive(StrEnum):
    """The directives of modprobe.d."""

    ALIAS = "alias"
    BLACKLIST = "blacklist"
    OPTIONS = "options"
    INSTALL = "install"
    REMOVE = "remove"
    SOFTDEP = "softdep"
    WEAKDEP = "weakdep"


_DIRECTIVES = {directive.value: directive for directive in Directive}


class Flaw(StrEnum):
    """Why a line, or a part of it, has no effect."""

    COMMENT = "it is a comment"
    SWALLOWED = "the comment above it ends in a backslash and swallows it"
    BYTE_ORDER_MARK = "a byte-order mark stands before the first word"
    UNKNOWN_DIRECTIVE = "its first word is not a directive; directives are lower case"
    NO_LONGER_READ = "kmod no longer supports this directive"
    INCOMPLETE = "it lacks a word"
    BRACKET = "a bracket in the module's name is unbalanced"
    CUT = "a zero byte ends the line early"
    SECOND_MODULE = "an options line applies to one module only: the first"
    FILE_NOT_READ = "kmod does not read the file"

    @property
    def is_comment(self) -> bool:
        """Whether the line is deliberately without effect."""
        return self is Flaw.COMMENT


_PARTIAL = frozenset({Flaw.CUT, Flaw.SECOND_MODULE})


@dataclass(frozen=True, slots=True)
class ModprobeLine:
    """A logical line: physical lines that end in a backslash are joined.

    `number` is the first physical line, from 1; the kernel command line has number 0. `subject` is the module, alias
    or pattern with `-` as `_`; `argument` is the rest as kmod keeps it. Both are empty without a directive.
    """

    path: str
    number: int
    text: str
    directive: Directive | None = None
    subject: str = ""
    argument: str = ""
    flaw: Flaw | None = None
    ends_at_backslash: bool = False
    """The file ends in a backslash, which kmod before 34 turns into a byte that is in no file."""

    @property
    def is_obeyed(self) -> bool:
        """Whether kmod obeys the line, or at least a part of it."""
        return self.directive is not None and (self.flaw is None or self.flaw in _PARTIAL)

    @property
    def source(self) -> str:
        """The place of the line: `/etc/modprobe.d/kvm.conf:3`."""
        return f"{self.path}:{self.number}" if self.number else self.path

    @property
    def evidence(self) -> Evidence:
        """The line as a result quotes it."""
        return Evidence(self.source, self.text.strip())

    def in_unread_file(self) -> "ModprobeLine":
        """Return the line as it stands in a file that kmod does not read."""
        return self if self.flaw and self.flaw.is_comment else replace(self, flaw=Flaw.FILE_NOT_READ)


def parse_lines(path: str, text: str, kmod: Kmod) -> tuple[ModprobeLine, ...]:
    """Read every line of a file except blank ones, in time proportional to the size of the text.

    Sample::

        # comment
        options kvm_amd nested=1 npt=1
        blacklist kvm_intel

    Most files are the same on a whole fleet: a small one is read once.
    """
    read = _read_once if len(text) <= _SMALL else _read
    return read(path, text, kmod)


def _read(path: str, text: str, kmod: Kmod) -> tuple[ModprobeLine, ...]:
    return tuple(_read_lines(path, text, kmod))


_read_once = lru_cache(maxsize=1024)(_read)


def _read_lines(path: str, text: str, kmod: Kmod) -> Iterator[ModprobeLine]:
    for number, pieces, ends_at_backslash in _logical_lines(text):
        logical = "".join(_ESCAPED.sub(r"\1", piece) for piece in pieces)
        if ends_at_backslash and kmod.keeps_end_of_file:
            logical += _END_OF_FILE
        if logical.startswith("#"):
            yield from _comment(path, number, pieces)
        elif logical.strip(_BLANKS):
            line = _parsed(ModprobeLine(path, number, logical), kmod)
            yield replace(line, ends_at_backslash=True) if ends_at_backslash else line


def _logical_lines(text: str) -> Iterator[tuple[int, list[str], bool]]:
    """Group physical lines: the first one's number, the pieces, and whether the file ends in a backslash."""
    lines = text.split("\n")
    first, pieces = 1, list[str]()
    for number, physical in enumerate(lines, start=1):
        continues = (len(physical) - len(physical.rstrip("\\"))) % 2 == 1
        pieces.append(physical[:-1] if continues else physical)
        if not continues or number == len(lines):
            yield first, pieces, continues
            first, pieces = number + 1, []


def _comment(path: str, number: int, pieces: list[str]) -> Iterator[ModprobeLine]:
    for offset, piece in enumerate(pieces):
        if piece.strip():
            swallowed = offset > 0 and not piece.lstrip().startswith("#")
            yield ModprobeLine(path, number + offset, piece, flaw=Flaw.SWALLOWED if swallowed else Flaw.COMMENT)


def _parsed(line: ModprobeLine, kmod: Kmod) -> ModprobeLine:
    visible, zero, _ = line.text.partition("\0")
    command, rest = _first_word(visible)
    directive = _DIRECTIVES.get(command)
    if directive is None or (directive is Directive.WEAKDEP and not kmod.knows_weakdep):
        line = replace(line, flaw=_unknown(command))
    else:
        line = _directive(line, directive, rest)
    return replace(line, flaw=Flaw.CUT) if zero and line.flaw in {None, Flaw.INCOMPLETE} else line


def _unknown(command: str) -> Flaw:
    if command.startswith("#"):
        return Flaw.COMMENT
    if command.startswith("\N{BYTE ORDER MARK}"):
        return Flaw.BYTE_ORDER_MARK
    return Flaw.NO_LONGER_READ if command in {"include", "config"} else Flaw.UNKNOWN_DIRECTIVE


def _directive(line: ModprobeLine, directive: Directive, rest: str) -> ModprobeLine:
    word, argument = _first_word(rest)
    subject = with_underscores(word)
    if not word or subject is None:
        return replace(line, flaw=Flaw.BRACKET if word else Flaw.INCOMPLETE)
    if directive is Directive.BLACKLIST:
        return replace(line, directive=directive, subject=subject)
    if directive is Directive.ALIAS:
        target = with_underscores(_first_word(argument)[0])
        argument = target or ""
        if target is None:
            return replace(line, flaw=Flaw.BRACKET)
    if not argument:
        return replace(line, flaw=Flaw.INCOMPLETE)
    if directive is Directive.OPTIONS:
        argument = argument.replace("\t", " ")
        flaw = Flaw.SECOND_MODULE if _second_modules(argument) else None
        return replace(line, directive=directive, subject=subject, argument=argument, flaw=flaw)
    return replace(line, directive=directive, subject=subject, argument=argument)


def _first_word(text: str) -> tuple[str, str]:
    """Cut the first word off, and the one blank that ends it, as strtok_r(3) does."""
    start = len(text) - len(text.lstrip(_BLANKS))
    end = min((at for at in (text.find(blank, start) for blank in _BLANKS) if at >= 0), default=len(text))
    return text[start:end], text[end + 1 :]


def with_underscores(name: str) -> str | None:
    """Write `-` as `_` outside brackets, as kmod does with names; None where a bracket is not paired."""
    if not _PAIRED.fullmatch(name):
        return None
    return _PIECE.sub(lambda piece: piece[0] if piece[0][0] == "[" else piece[0].replace("-", "_"), name)


def _second_modules(options: str) -> tuple[str, ...]:
    """Find modules among the bare words before the first assignment."""
    named = []
    for word in options.split():
        if "=" in word:
            break
        if word.replace("-", "_") in _KVM_MODULES:
            named.append(word.replace("-", "_"))
    return tuple(named)
