"""Whether a module accepts the options that it is given: each value against the type of its parameter.

Sources: `parse_one` and the `param_set_…` functions in the kernel's kernel/params.c, `kstrto…` in lib/kstrtox.c; for
parameters with special values arch/x86/kvm/mmu/mmu.c, vmx/vmx.c and svm/avic.c.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nested_kvm.facts.kernel.parameter import ParameterType, Setting, Word, integer, value_setting, words
from nested_kvm.facts.kernel.release import KernelRelease

_BOOLEANS: Final = frozenset({"bool", "invbool", "bint"})
_RANGES: Final = {
    "byte": range(2**8),
    "short": range(-(2**15), 2**15),
    "ushort": range(2**16),
    "int": range(-(2**31), 2**31),
    "uint": range(2**32),
    "long": range(-(2**63), 2**63),
    "ulong": range(2**64),
    "ullong": range(2**64),
}
_LONGEST_TEXT: Final = 1024
_ACCEPTED_BY_ALL: Final = frozenset({"0", "1"})
"""Values that are valid for every type."""
_OWN_VALUES: Final[Mapping[tuple[str, str], tuple[frozenset[str], frozenset[str]]]] = {
    ("kvm", "nx_huge_pages"): (frozenset({"off", "force", "auto"}), frozenset({"never"})),
    ("kvm_amd", "avic"): (frozenset(), frozenset({"auto"})),
    ("kvm_intel", "vmentry_l1d_flush"): (frozenset({"auto", "never", "cond", "always"}), frozenset()),
}
"""Words that a parameter takes beside what its type says: those of every kernel, and those of newer ones."""
_WITHOUT_OTHERS: Final = frozenset({"kvm", "kvm_amd", "kvm_intel", "kvm_hv", "irqbypass", "ccp"})
"""Modules of which all parameters are listed by modinfo, except those above: any other is ignored with a warning."""
_NEEDED: Final = {**dict.fromkeys(_BOOLEANS, "a boolean"), **dict.fromkeys(_RANGES, "an integer")}


@dataclass(frozen=True, slots=True)
class OptionFault:
    """An option that a module refuses (`is_certain`) or may refuse."""

    module: str
    word: Word
    is_certain: bool
    reason: str


def option_faults(
    module: str, options: str, types: Mapping[str, str] | None, release: KernelRelease, *, beside: str = ""
) -> Iterator[OptionFault]:
    """Find what a module may refuse of its options; `types` None: unknown. `beside` is a parameter to leave out.

    Sample: `nested=1 nrips=Y` for kvm_amd, of which nrips is an int.
    """
    for word in words(options):
        name = word.name.replace("-", "_")
        if name == beside and word.is_certain:
            continue
        kind = None if types is None else types.get(name)
        # A parameter without a type may be where the list was cut off.
        is_listed = types is not None and all(types.values())
        accepted = _is_accepted(module, name, word, kind, release, is_listed=is_listed)
        if accepted is False:
            needed = _NEEDED.get(kind or "", "a valid value")
            yield OptionFault(module, word, is_certain=True, reason=f"{word.text} of {module} is not {needed}")
        elif accepted is None:
            reason = f"it is unknown whether {module} accepts {word.text}"
            yield OptionFault(module, word, is_certain=False, reason=reason)


def _is_accepted(  # noqa: PLR0911 - one rule each
    module: str, name: str, word: Word, kind: str | None, release: KernelRelease, *, is_listed: bool
) -> bool | None:
    if not word.is_certain:
        return None
    always, newer = _OWN_VALUES.get((module, name), (frozenset(), frozenset()))
    if word.value in always:
        return True
    if word.value in newer:
        return None
    if kind is not None:
        return accepts(kind, word.value, release)
    if not is_listed:
        return True if word.value in _ACCEPTED_BY_ALL else None
    if (module, name) in _OWN_VALUES:
        return None
    return True if module in _WITHOUT_OTHERS or word.value in _ACCEPTED_BY_ALL else None


def accepts(kind: str, value: str | None, release: KernelRelease) -> bool | None:
    """Whether a parameter of that type, in modinfo's words, accepts the value; None: unknown."""
    if kind in _BOOLEANS:
        setting = value_setting(value, ParameterType.BOOL, release)
        return None if setting is Setting.UNDECIDED else setting is not Setting.INVALID
    if kind in _RANGES:
        number = None if value is None else integer(value)
        is_unsigned = _RANGES[kind].start == 0
        return number is not None and number in _RANGES[kind] and not (is_unsigned and (value or "").startswith("-"))
    if kind == "charp":
        return value is not None and len(value.encode(errors="replace")) <= _LONGEST_TEXT
    return None
