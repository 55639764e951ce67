"""The CPUs of a machine: their vendor, and whether each shows hardware virtualization."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.model.architecture import S390X, X86
from nested_kvm.model.verdict import Evidence


class Vendor(Enum):
    """A CPU vendor, with its virtualization flag and its KVM module."""

    INTEL = ("vmx", "kvm_intel")
    AMD = ("svm", "kvm_amd")
    IBM_Z = ("sie", "kvm")

    @property
    def flag(self) -> str:
        """The word in `flags`, or on s390x in `features`: `vmx`, `svm` or `sie`."""
        return self.value[0]

    @property
    def module(self) -> str:
        """The kernel module, as `/sys/module` names it."""
        return self.value[1]

    @property
    def others(self) -> "tuple[Vendor, ...]":
        """All other vendors."""
        return tuple(each for each in Vendor if each is not self)


VENDORS: Final = {
    "GenuineIntel": Vendor.INTEL,
    "CentaurHauls": Vendor.INTEL,
    "Shanghai": Vendor.INTEL,
    "AuthenticAMD": Vendor.AMD,
    "HygonGenuine": Vendor.AMD,
}
"""On x86 `vendor_id` to the module that claims it (arch/x86/kvm/vmx/vmx.c and svm/svm.c: x86_match_cpu).

`Shanghai` is padded with blanks in the kernel, and compared without them.
"""
_Z_VENDORS: Final = {"IBM/S390": Vendor.IBM_Z}


_REMEMBERED: Final = 256 * 1024
"""Characters of the cpuinfo that is remembered."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """All CPUs of a machine; `flags` has one set of words per CPU, in the kernel's order.

    Source: `/proc/cpuinfo`, with the flags of each processor, and `uname -m`.
    """

    architecture: str
    vendor: Vendor | None
    """None: an architecture or a vendor without such a flag."""
    vendor_id: str
    model_name: str
    flags: tuple[frozenset[str], ...]
    vmx_flags: frozenset[str] = frozenset()
    """The words of Intel's `vmx flags` line, of the first CPU; older kernels have none."""
    possible: tuple[Vendor, ...] = ()
    """The vendors it may have, where no machine was inspected and the vendor is open."""

    @property
    def is_x86(self) -> bool:
        """Whether the architecture is x86, where the flag is vmx or svm."""
        return self.architecture in X86.machines

    @property
    def is_virtual(self) -> bool:
        """Whether a CPU has the `hypervisor` flag: the machine is a guest."""
        return any("hypervisor" in words for words in self.flags)

    @property
    def flag(self) -> str:
        """The virtualization flag of this vendor's CPUs.

        Raises:
            NotObserved: the vendor is unknown.
        """
        return self.require_vendor().flag

    @property
    def vendors(self) -> tuple[Vendor, ...]:
        """The vendor, or all that it may have where no machine was inspected.

        Raises:
            NotObserved: the vendor is unknown.
        """
        return self.possible or (self.require_vendor(),)

    @property
    def flags_of_vendors(self) -> str:
        """The flag, or those of all vendors that it may have, in words.

        Raises:
            NotObserved: the vendor is unknown.
        """
        return " or ".join(vendor.flag for vendor in self.vendors)

    @property
    def count_with_flag(self) -> int:
        """How many CPUs show the flag, as a word of `flags`: `svm_lock` is not `svm`."""
        flag = self.flag if self.flags else ""
        return sum(flag in words for words in self.flags)

    @property
    def all_show_flag(self) -> bool:
        """Whether every CPU shows the flag."""
        return self.count_with_flag == len(self.flags)

    @property
    def is_known_to_show_flag(self) -> bool:
        """Whether the vendor has a flag, and every CPU shows it."""
        return self.vendor is not None and self.all_show_flag

    @property
    def none_shows_flag(self) -> bool:
        """Whether no CPU shows the flag."""
        return self.count_with_flag == 0

    @property
    def foreign_flags(self) -> tuple[str, ...]:
        """The flags of other vendors that a CPU shows, as in a guest with `-cpu host,vendor=GenuineIntel` on AMD."""
        others = () if self.vendor is None else self.vendor.others
        return tuple(each.flag for each in others if any(each.flag in words for words in self.flags))

    def offers(self, word: str) -> bool:
        """Whether the first CPU has a feature by that word, in `flags` or in `vmx flags`."""
        return word in self.vmx_flags or any(word in words for words in self.flags[:1])

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The number of CPUs that show the flag, where the vendor has one."""
        if self.vendor is None:
            return ()
        seen = f"{self.flag} on {self.count_with_flag} of {len(self.flags)} CPUs ({self.vendor_id})"
        seen += f", and {', '.join(self.foreign_flags)}" if self.foreign_flags else ""
        return (Evidence(sources.CPUINFO, seen),)

    def require_vendor(self) -> Vendor:
        """The vendor, where one is required.

        Raises:
            NotObserved: KVM does not support the vendor.
        """
        if self.vendor is None:
            raise NotObserved(f"{sources.CPUINFO}: vendor_id {self.vendor_id[:40]!r} is not one that KVM supports")
        return self.vendor


def cpu_of(bundle: Bundle) -> Cpu:
    """The CPUs as listed in `/proc/cpuinfo`.

    Sample, of each processor the lines that count::

        processor	: 0
        vendor_id	: AuthenticAMD
        flags		: fpu vme svm npt

    Raises:
        ObservationError: either could not be read, or names no CPU.
    """
    architecture = bundle.text(sources.ARCHITECTURE).strip()
    text = bundle.text(sources.CPUINFO)
    return _cpu(architecture, text) if len(text) <= _REMEMBERED else _parsed(architecture, text)


@lru_cache(maxsize=64)
def _cpu(architecture: str, text: str) -> Cpu:
    """The same, made once for all machines with equal CPUs: their flags take most of the memory of all facts."""
    return _parsed(architecture, text)


def _parsed(architecture: str, text: str) -> Cpu:
    processors = _z_processors(text) if architecture in S390X.machines else _processors(text)
    if architecture in X86.machines | S390X.machines and not processors:
        raise NotObserved(f"{sources.CPUINFO} names no CPU")
    vendor_ids = {processor.get("vendor_id", "").strip() for processor in processors}
    vendor_id = ", ".join(sorted(vendor_ids))
    return Cpu(
        architecture=architecture,
        vendor=_vendors(architecture).get(vendor_id),
        vendor_id=vendor_id,
        model_name=processors[0].get("model name", "") if processors else "",
        flags=_words_of_each([processor.get("flags", "") for processor in processors]),
        vmx_flags=frozenset(processors[0].get("vmx flags", "").split()) if processors else frozenset(),
    )


def _processors(text: str) -> list[dict[str, str]]:
    """One mapping for each `processor` line; `vmx flags` is a separate key."""
    processors: list[dict[str, str]] = []
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        key = key.rstrip(" \t")
        if colon and key == "processor":
            processors.append({})
        elif colon and processors:
            processors[-1].setdefault(key, value.lstrip(" \t"))
    return processors


def _words_of_each(lines: Sequence[str]) -> tuple[frozenset[str], ...]:
    """The words of each line; CPUs are mostly alike, so each distinct line is split once."""
    words = {line: frozenset(line.split()) for line in set(lines)}
    return tuple(words[line] for line in lines)


def _z_processors(text: str) -> list[dict[str, str]]:
    """One mapping per CPU on s390x: a line `processor 0: …` each, and one `vendor_id` and one `features` for all."""
    shared = dict(re.findall(r"^(vendor_id|features)[ \t]*:[ \t]*(.*)$", text, re.MULTILINE))
    each = {"vendor_id": shared.get("vendor_id", ""), "flags": shared.get("features", "")}
    return [dict(each) for _ in re.findall(r"^processor \d+:", text, re.MULTILINE)]


def _vendors(architecture: str) -> Mapping[str, Vendor]:
    if architecture in S390X.machines:
        return _Z_VENDORS
    return VENDORS if architecture in X86.machines else {}
