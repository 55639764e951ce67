"""Whether a guest's memory is encrypted, as it sees that itself: KVM cannot run in such a guest.

Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP
"""

from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.facts.kernel.cpu import Cpu
from nested_kvm.facts.kernel.log import KernelLog
from nested_kvm.model.verdict import Evidence

_TDX: Final = "tdx_guest"
"""The word in `flags` that the kernel sets in a TDX guest (arch/x86/include/asm/cpufeatures.h)."""


@dataclass(frozen=True, slots=True)
class EncryptedMemory:
    """The signs of encrypted memory inside a guest; without any it may be encrypted all the same.

    Source: `dmesg` and `/proc/cpuinfo`.
    """

    signs: tuple[Evidence, ...]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The lines that show it."""
        return self.signs


def encrypted_memory_of(cpu: Cpu, log: KernelLog) -> EncryptedMemory:
    """The signs in the kernel's log and in the CPU's flags."""
    flagged = (Evidence(sources.CPUINFO, _TDX),) if cpu.offers(_TDX) else ()
    return EncryptedMemory((*log.memory_encryption, *flagged))
