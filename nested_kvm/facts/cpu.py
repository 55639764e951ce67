"""The CPUs: whose they are, and whether each of them shows hardware virtualization."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from nested_kvm.control import X86
from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.verdict import Evidence

SOURCE: Final = "/proc/cpuinfo"


class Vendor(Enum):
    """Whose virtualization extension it is, with its flag and its KVM module."""

    INTEL = ("vmx", "kvm_intel")
    AMD = ("svm", "kvm_amd")

    @property
    def flag(self) -> str:
        """The word in `flags`: `vmx` or `svm`."""
        return self.value[0]

    @property
    def module(self) -> str:
        """The kernel module, as `/sys/module` names it."""
        return self.value[1]

    @property
    def other(self) -> "Vendor":
        """The vendor that this one is not."""
        return Vendor.AMD if self is Vendor.INTEL else Vendor.INTEL


VENDORS: Final = {
    "GenuineIntel": Vendor.INTEL,
    "CentaurHauls": Vendor.INTEL,
    "  Shanghai  ".strip(): Vendor.INTEL,
    "AuthenticAMD": Vendor.AMD,
    "HygonGenuine": Vendor.AMD,
}
"""`vendor_id` to the module that claims it (arch/x86/kvm/vmx/vmx.c and svm/svm.c: x86_match_cpu)."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """All CPUs of a machine; `flags` has one set of words for each, in the kernel's order.

    Source: `/proc/cpuinfo`, with the flags of each processor, and `uname -m`.
    """

    architecture: str
    vendor: Vendor | None
    """None: an architecture or a vendor that has neither vmx nor svm."""
    vendor_id: str
    model_name: str
    flags: tuple[frozenset[str], ...]
    vmx_flags: frozenset[str] = frozenset()
    """The words of Intel's `vmx flags` line, of the first CPU; older kernels have none."""

    @property
    def is_x86(self) -> bool:
        """Whether vmx or svm is what to look for."""
        return self.architecture in X86

    @property
    def is_virtual(self) -> bool:
        """Whether a hypervisor says that this is a guest."""
        return any("hypervisor" in words for words in self.flags)

    @property
    def flag(self) -> str:
        """The word that this vendor's CPUs show.

        Raises:
            NotObserved: the vendor is unknown.
        """
        return self.require_vendor().flag

    @property
    def count_with_flag(self) -> int:
        """How many CPUs show the flag, as a word of `flags`: `svm_lock` is not `svm`."""
        return sum(self.flag in words for words in self.flags)

    @property
    def all_show_flag(self) -> bool:
        """Whether every single CPU shows it."""
        return self.count_with_flag == len(self.flags)

    @property
    def none_shows_flag(self) -> bool:
        """Whether no CPU shows it."""
        return self.count_with_flag == 0

    def offers(self, word: str) -> bool:
        """Whether the first CPU has a feature by that word, in `flags` or in `vmx flags`."""
        return word in self.vmx_flags or any(word in words for words in self.flags[:1])

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """How many CPUs show the flag."""
        return (
            Evidence(SOURCE, f"{self.flag} on {self.count_with_flag} of {len(self.flags)} CPUs ({self.vendor_id})"),
        )

    def require_vendor(self) -> Vendor:
        """The vendor, where there has to be one.

        Raises:
            NotObserved: it is none that KVM knows.
        """
        if self.vendor is None:
            raise NotObserved(f"{SOURCE}: vendor_id {self.vendor_id[:40]!r} is none that KVM knows")
        return self.vendor


def cpu_of(bundle: Bundle) -> Cpu:
    """The CPUs by `/proc/cpuinfo` and `uname -m`.

    Raises:
        ObservationError: either could not be read, or names no CPU.
    """
    architecture = bundle.text("uname -m").strip()
    processors = _processors(bundle.text(SOURCE))
    if architecture in X86 and not processors:
        raise NotObserved(f"{SOURCE} names no CPU")
    vendor_ids = {processor.get("vendor_id", "").strip() for processor in processors}
    vendor_id = ", ".join(sorted(vendor_ids))
    return Cpu(
        architecture=architecture,
        vendor=VENDORS.get(vendor_id) if architecture in X86 else None,
        vendor_id=vendor_id,
        model_name=processors[0].get("model name", "") if processors else "",
        flags=tuple(frozenset(processor.get("flags", "").split()) for processor in processors),
        vmx_flags=frozenset(processors[0].get("vmx flags", "").split()) if processors else frozenset(),
    )


def _processors(text: str) -> list[dict[str, str]]:
    """One mapping for each `processor` line; `vmx flags` is a key of its own."""
    processors: list[dict[str, str]] = []
    for key, value in re.findall(r"^([^:\n]+?)[ \t]*:[ \t]*(.*)$", text, re.MULTILINE):
        if key == "processor":
            processors.append({})
        elif processors:
            processors[-1].setdefault(key, value)
    return processors
