"""The kernel arguments that `/etc/default/grub` and `/etc/default/grub.d/*.cfg` give to grub-mkconfig.

Sources: grub's util/grub-mkconfig.in and util/grub.d/10_linux.in, Debian's grub.d patch, the shell's grammar in POSIX.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence.reading import Reading
from nested_kvm.util.text import printable

_OF_ALL_ENTRIES: Final = "GRUB_CMDLINE_LINUX"
_OF_NORMAL_ENTRIES: Final = "GRUB_CMDLINE_LINUX_DEFAULT"
_LONGEST: Final = 4096
"""Characters, more than any kernel reads: a value that grows by itself ends here."""
_SHOWN: Final = 80
_SPECIAL: Final = re.compile("['\"\\\\`$]")
"""By which what follows a value may reach into the next line, or set something."""
_RUNS: Final = re.compile(r"(?:^|[ \t;])(?:\.|source|eval)[ \t]|^(?:export|readonly|set|:)(?:[ \t]|$)")
"""A command behind a value that may set another one, or keeps this one although it stands before a command."""
_CONTINUES: Final = "a value continues on a line that was not read"
_ASSIGNMENT: Final = re.compile(
    r"[ \t]*(?P<export>export[ \t]+)?(?P<name>GRUB_CMDLINE_\w+)(?P<sign>\+?=)(?P<value>.*)", re.ASCII
)
_OTHER_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_PIECE: Final = re.compile(
    r"'(?P<single>[^']*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\"|\\(?P<escaped>.)|\$(?P<name>[A-Za-z_]\w*)"
    r"|\$\{(?P<braced>[A-Za-z_]\w*)\}|(?P<plain>[^ \t'\"\\$`;&|<>()]+)",
    re.ASCII,
)
_INNER: Final = re.compile(
    r"\\(?P<escaped>[$`\"\\])|\$(?P<name>[A-Za-z_]\w*)|\$\{(?P<braced>[A-Za-z_]\w*)\}"
    r"|(?P<plain>[^\\$`]+|\\|\$(?=[ \t]|\Z))",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class GrubDefaults:
    """The arguments of normal boot entries, each part with the file that sets it; `unknown` is why they may differ."""

    parts: tuple[tuple[str, str], ...]
    unknown: str = ""


class _UnknownValueError(Exception):
    """A value that the lines that were read do not determine."""


def grub_defaults(files: Iterable[Reading]) -> GrubDefaults:
    """Evaluate the files as the shell does, in order: of two assignments of a variable the later one counts.

    Sample::

        GRUB_CMDLINE_LINUX="console=ttyS0"
        GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT kvm_amd.nested=1"
    """
    values = {_OF_ALL_ENTRIES: "", _OF_NORMAL_ENTRIES: ""}
    places = dict.fromkeys(values, "")
    unknown: dict[str, str] = {}
    for file in files:
        for line in file.text.split("\n"):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            found = _ASSIGNMENT.fullmatch(line)
            if found is None:
                unknown.setdefault(file.source, f"{file.source} is a script: {printable(line, _SHOWN)}")
            elif (name := found["name"]) in values:
                try:
                    value = _value(found["value"], values, is_exported=found["export"] is not None)
                except _UnknownValueError as reason:
                    unknown[name] = f"{file.source}: {reason}"
                    continue
                if value is not None:
                    values[name] = _appended(values[name], value) if found["sign"] == "+=" else value
                    places[name] = file.source
    return GrubDefaults(
        tuple((places[name], value) for name, value in values.items() if value), next(iter(unknown.values()), "")
    )


def _appended(value: str, more: str) -> str:
    return (value + more)[: _LONGEST + 1]


def _value(text: str, variables: Mapping[str, str], *, is_exported: bool) -> str | None:
    """The value behind the `=`; None: the line runs a command with it, and sets nothing.

    What follows in a line with `export` are names of other variables.

    Raises:
        _UnknownValueError: it depends on something that was not read.
    """
    value, at = _word(text, 0, variables)
    rest = text[at:].lstrip(" \t")
    while other := _OTHER_ASSIGNMENT.match(rest):
        if "GRUB_CMDLINE" in rest:
            raise _UnknownValueError("it sets two variables in one line")
        _, at = _word(rest, other.end(), variables)
        rest = rest[at:].lstrip(" \t")
    if not rest or rest.startswith("#"):
        return value
    if "GRUB_CMDLINE" in rest or rest[0] in "|&<>()" or _SPECIAL.search(rest) or _RUNS.search(rest):
        raise _UnknownValueError(f"what follows the value is not known: {printable(rest, _SHOWN)}")
    return value if is_exported or rest.startswith(";") else None


def _word(text: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    pieces, length = list[str](), 0
    while at < len(text) and text[at] not in " \t;&|<>()":
        found = _PIECE.match(text, at)
        if found is None:
            raise _UnknownValueError(_why(text[at:]))
        pieces.append(_expanded(found, variables))
        length += len(pieces[-1])
        if length > _LONGEST:
            raise _UnknownValueError("a value is longer than the kernel reads")
        at = found.end()
    return "".join(pieces), at


def _expanded(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["double"] is not None:
        return _inside(found["double"], variables)
    name = found["name"] or found["braced"]
    if name is not None:
        return _variable(name, variables)
    return next(text for text in (found["single"], found["escaped"], found["plain"]) if text is not None)


def _inside(text: str, variables: Mapping[str, str]) -> str:
    pieces, at = list[str](), 0
    while at < len(text):
        found = _INNER.match(text, at)
        if found is None:
            raise _UnknownValueError(_why(text[at:]))
        name = found["name"] or found["braced"]
        pieces.append(_variable(name, variables) if name else found["escaped"] or found["plain"])
        at = found.end()
    return "".join(pieces)


def _variable(name: str, variables: Mapping[str, str]) -> str:
    if name not in variables:
        raise _UnknownValueError(f"the value of ${name} is not known")
    return variables[name]


def _why(text: str) -> str:
    if text[0] in "'\"\\":
        return _CONTINUES
    return f"the value of {printable(text, _SHOWN)} is not known"
