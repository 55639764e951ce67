"""A module's parameter string, read as the kernel reads it.

Sources: `next_arg` in the kernel's lib/cmdline.c, `parse_args`, `parameq` and `param_set_bool` in kernel/params.c,
`kstrtoint` and `kstrtobool` in lib/kstrtox.c.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from nested_kvm.facts.kernel.release import KernelRelease

# The kernel's isspace() knows one byte more than C's: 0xa0, also where it is a part of a UTF-8 letter.
_WORD = re.compile(rb'(?:[^ \t\n\v\f\r\xa0"]+|"[^"]*(?:"|\Z))+')
_INTEGER = re.compile(rb"([+-]?)(?:0[xX]0*([0-9a-fA-F]+)|0+([0-7]*)|([1-9][0-9]*))\n?")
_REPLACED = "\N{REPLACEMENT CHARACTER}".encode()
_DIGITS = 22  # Octal needs as many for 2**64; whatever has more is out of every range.
_INT_RANGE = range(-(2**31), 2**31)
_ON_OFF_SINCE = (4, 6)
_TRUE_FALSE_SINCE = (5, 19)
# Debian's 6.12.117 refuses these words, its 6.16.3 takes them; of the series between, none was asked.
_ENABLE_DISABLE_NOT_BEFORE, _ENABLE_DISABLE_SINCE = (6, 13), (6, 16)
_UNKNOWN_RELEASE = KernelRelease.parse("")


class ParameterType(StrEnum):
    """The types of parameter whose values can be evaluated."""

    BOOL = "bool"
    INT = "int"


class Setting(StrEnum):
    """How the kernel reads a value."""

    ON = "on"
    OFF = "off"
    INVALID = "invalid"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a parameter string: `value` is None for a bare name.

    `offset` counts bytes of the string in UTF-8. `is_certain` is False where an undecodable byte was replaced: it may
    have been 0xa0, which is white space to the kernel.
    """

    name: str
    value: str | None
    text: str
    offset: int
    is_certain: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """A word that sets the parameter in question, and how the kernel reads its value."""

    word: Word
    setting: Setting


@dataclass(frozen=True, slots=True)
class ParameterReading:
    """All assignments of one parameter in a string, in order."""

    assignments: tuple[Assignment, ...]

    @property
    def setting(self) -> Setting | None:
        """The outcome of a load with this string: None without any assignment.

        The last valid value wins; one invalid value fails the load, wherever it stands (kernel/params.c).
        """
        decisive = self.decisive
        return None if decisive is None else decisive.setting

    @property
    def decisive(self) -> Assignment | None:
        """The assignment that decides the outcome: the first invalid, else the first undecided, else the last."""
        for setting in (Setting.INVALID, Setting.UNDECIDED):
            for assignment in self.assignments:
                if assignment.setting is setting:
                    return assignment
        return self.assignments[-1] if self.assignments else None

    @property
    def last_valid(self) -> Assignment | None:
        """The assignment that a built-in module obeys: the kernel logs an invalid one and goes on booting."""
        valid = [each for each in self.assignments if each.setting is not Setting.INVALID]
        return valid[-1] if valid else None


def parameter_types(modinfo: str) -> dict[str, str]:
    """Map each parameter to its type, from the output of `modinfo --parameters`.

    The type is empty where none is printed, as on a last line that was cut off. Sample::

        nested: (int)
        avic:Enable AVIC (bool)
    """
    types: dict[str, str] = {}
    for line in modinfo.splitlines():
        name, _, rest = line.partition(":")
        if re.fullmatch(r"[\w-]+", name, re.ASCII):
            kind = rest.rstrip().rpartition("(")[2]
            types[name.replace("-", "_")] = kind[:-1] if kind.endswith(")") else ""
    return types


def parameter_type(kind: str) -> ParameterType | None:
    """The type of a parameter by modinfo's word for it; None: another one, or it is not known."""
    return ParameterType(kind) if kind in {each.value for each in ParameterType} else None


def words(options: str) -> Iterator[Word]:
    """Split a parameter string as `next_arg` does, up to a lone `--`, where the kernel stops."""
    for found in _WORD.finditer(options.encode(errors="replace")):
        word = _word(found[0], found.start())
        if word.value is None and word.name == "--":
            return
        yield word


def read_parameter(
    options: str, name: str, kind: ParameterType | None, release: KernelRelease = _UNKNOWN_RELEASE
) -> ParameterReading:
    """Find every assignment of `name` in a parameter string; `kind` None: unknown type.

    Sample: `nested=1 npt=Y "label=a b"`
    """
    wanted = _same_name(name)
    return ParameterReading(
        tuple(
            Assignment(word, _judged(word, kind, release))
            for word in words(options)
            if _same_name(word.name) == wanted or (not word.is_certain and wanted in _same_name(word.text))
        )
    )


def value_setting(value: str | None, kind: ParameterType | None, release: KernelRelease = _UNKNOWN_RELEASE) -> Setting:
    """How the kernel reads a value; without a type, only what bool and int agree on is decided."""
    if kind is ParameterType.BOOL:
        return _bool_setting(value, release)
    if kind is ParameterType.INT:
        return _int_setting(value)
    as_bool, as_int = _bool_setting(value, release), _int_setting(value)
    return as_bool if as_bool is as_int else Setting.UNDECIDED


def _same_name(name: str) -> str:
    return name.replace("-", "_")


def _judged(word: Word, kind: ParameterType | None, release: KernelRelease) -> Setting:
    return value_setting(word.value, kind, release) if word.is_certain else Setting.UNDECIDED


def _word(raw: bytes, offset: int) -> Word:
    quoted = raw.startswith(b'"')
    body = raw[1:] if quoted else raw
    equals = body.find(b"=", 1)  # A word that begins with "=" has its name there.
    name, value = (body, None) if equals < 0 else (body[:equals], body[equals + 1 :])
    closes = body.endswith(b'"')
    if value is None:
        name = name[:-1] if quoted and closes else name
    elif value.startswith(b'"'):
        value = value[1:-1] if closes else value[1:]
    elif quoted and closes:
        value = value[:-1]
    return Word(
        name.decode(errors="replace"),
        None if value is None else value.decode(errors="replace"),
        raw.decode(errors="replace"),
        offset,
        _REPLACED not in raw,
    )


def _bool_setting(value: str | None, release: KernelRelease) -> Setting:
    if value is None:
        return Setting.ON
    for letters, setting, since in (
        ("yY1", Setting.ON, None),
        ("nN0", Setting.OFF, None),
        ("tT", Setting.ON, _TRUE_FALSE_SINCE),
        ("fF", Setting.OFF, _TRUE_FALSE_SINCE),
    ):
        if value[:1] and value[0] in letters:
            return setting if since is None else _if_taken(setting, release.has(since))
    if value[:1] in {"o", "O"}:
        return _on_off_setting(value[1:2], release)
    if value[:1] and value[0] in "eEdD":
        taken = release.has(_ENABLE_DISABLE_SINCE)
        if taken is False and release.has(_ENABLE_DISABLE_NOT_BEFORE):
            taken = None
        return _if_taken(Setting.ON if value[0] in "eE" else Setting.OFF, taken)
    return Setting.INVALID


def _on_off_setting(second: str, release: KernelRelease) -> Setting:
    if second and second in "nNfF":
        return _if_taken(Setting.ON if second in "nN" else Setting.OFF, release.has(_ON_OFF_SINCE))
    return Setting.INVALID


def _if_taken(setting: Setting, taken: bool | None) -> Setting:  # noqa: FBT001 - three-valued, not a switch
    if taken is None:
        return Setting.UNDECIDED
    return setting if taken else Setting.INVALID


def integer(value: str) -> int | None:
    """The number that `kstrtoint` and its kin read; None: it is not a number, or out of the range of all of them."""
    found = _INTEGER.fullmatch(value.encode(errors="replace"))
    if found is None:
        return None
    sign, *digits = found.groups()
    base, text = next((base, text) for base, text in zip((16, 8, 10), digits, strict=True) if text is not None)
    if len(text) > _DIGITS:
        return None
    number = int(text or b"0", base)
    return -number if sign == b"-" else number


def _int_setting(value: str | None) -> Setting:
    number = None if value is None else integer(value)
    if number is None or number not in _INT_RANGE:
        return Setting.INVALID
    return Setting.ON if number else Setting.OFF
