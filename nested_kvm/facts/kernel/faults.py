"""Faults of single kernels, because of which nesting fails although everything is set as it should be.

4.19.78: a page fault in an L1's VMREAD, which the host emulates, ends in a null pointer.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.facts.kernel.build import KernelBuild
from nested_kvm.model.architecture import ARM64, X86, Architecture
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class KernelFault:
    """A fault that someone published. `is_settled`: its patch is known; else only that these kernels have it."""

    effect: str
    is_in_guest: bool
    """Whether the kernel of the L1 has it, and not that of the L0."""
    architecture: Architecture
    instead: str
    """The kernels that do not have it."""
    source: str
    releases: tuple[str, ...]
    """Patterns of `uname -r`: only these are known to have it."""
    flag: str | None = None
    """Of x86, the flag of the CPUs that it is about; None: both."""
    is_settled: bool = False

    def is_of(self, release: str) -> bool:
        """Whether the kernel of that release has it; a vendor's kernel of the same version is another one."""
        return any(fnmatchcase(release, pattern) for pattern in self.releases)


KNOWN: Final = (
    KernelFault(
        "an L1 that starts an L2 hangs",
        is_in_guest=False,
        architecture=X86,
        flag="vmx",
        releases=("4.19.78",),
        instead="4.19.79 and later",
        # Also "KVM: nVMX: handle page fault in vmread fix", a patch of the stable series alone.
        source="https://github.com/NixOS/nixpkgs/issues/76839",
        is_settled=True,
    ),
    KernelFault(
        "guests with host-passthrough are paused as soon as they start",
        is_in_guest=False,
        architecture=X86,
        flag="vmx",
        releases=("4.18.0-257.el8.*",),
        instead="another release of that distribution",
        source="https://github.com/RedHat-EMEA-SSA-Team/hetzner-ocp4/issues/163",
    ),
    KernelFault(
        "L2s freeze at their first reads from a disk",
        is_in_guest=True,
        architecture=ARM64,
        releases=("7.0.14", "7.1.7", "7.1.8"),
        instead="6.18.44",
        source="https://github.com/ejc3/fcvm/pull/751",
    ),
)


@dataclass(frozen=True, slots=True)
class KernelFaults:
    """The published faults of the running kernel: those whose patch is known, and those that were only reported.

    Source: `/proc/sys/kernel/osrelease`, and a list that comes with this version.
    """

    release: str
    settled: tuple[KernelFault, ...] = ()
    reported: tuple[KernelFault, ...] = ()

    @property
    def all(self) -> tuple[KernelFault, ...]:
        """Both."""
        return (*self.settled, *self.reported)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The release, and where each fault was published."""
        return (Evidence(sources.KERNEL_RELEASE, self.release), *(Evidence(e.source, e.effect) for e in self.all))


def kernel_faults_of(
    build: KernelBuild, architecture: Architecture | None, flag: str | None, *, is_guest: bool
) -> KernelFaults:
    """The faults of that kernel in its part, as an L0's or an L1's. `flag` is the CPU's, where it is known."""
    found = tuple(
        each
        for each in KNOWN
        if each.architecture is architecture
        and each.is_in_guest is is_guest
        and each.flag in {None, flag}
        and each.is_of(build.release)
    )
    settled = tuple(each for each in found if each.is_settled)
    return KernelFaults(build.release, settled, tuple(each for each in found if not each.is_settled))
