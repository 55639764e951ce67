"""The architectures on which KVM can nest, and how each differs from x86.

Sources: arch/s390/kvm/kvm-s390.c, arch/powerpc/kvm/book3s_hv.c, arch/arm64/kvm/arm.c, and the kernel's
Documentation/admin-guide/kernel-parameters.txt.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture; `machines` are the names that `uname -m` prints for it."""

    name: str
    machines: frozenset[str]
    emulators: frozenset[str]
    """QEMU's names for it: `qemu-system-s390x` can use KVM on s390x, every other QEMU only emulates there."""
    way: str
    """How nesting is configured there, worded for the end of a sentence."""
    module: str | None = None
    """The KVM module; None: it depends on the CPU's vendor."""


X86: Final = Architecture(
    "x86",
    frozenset({"x86_64", "i686", "i586", "i486", "i386", "amd64"}),
    frozenset({"x86_64", "i386"}),
    "vmx or svm shows it, and kvm_intel or kvm_amd carries the parameter nested",
)
S390X: Final = Architecture(
    "s390x",
    frozenset({"s390x"}),
    frozenset({"s390x"}),
    "sie shows it, and kvm itself carries the parameter nested",
    module="kvm",
)
POWER: Final = Architecture(
    "ppc64",
    frozenset({"ppc64", "ppc64le"}),
    frozenset({"ppc64"}),
    "no flag shows it, kvm_hv carries the parameter nested, and a domain asks for it by nested-hv",
    module="kvm_hv",
)
ARM64: Final = Architecture(
    "arm64",
    frozenset({"aarch64", "arm64"}),
    frozenset({"aarch64"}),
    "neither a flag nor a parameter shows it: the kernel is booted with kvm-arm.mode=nested",
    module="kvm",
)
KNOWN: Final = (X86, S390X, POWER, ARM64)


def architecture_of(machine: str) -> Architecture | None:
    """The architecture for the output of `uname -m`; None: not a supported one."""
    return next((each for each in KNOWN if machine in each.machines), None)
