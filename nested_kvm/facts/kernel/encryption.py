"""Whether a guest's memory is encrypted, as it sees that itself: KVM cannot run in such a guest.

Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP
"""

from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kernel.cpu import Cpu
from nested_kvm.facts.kernel.log import kernel_log_of
from nested_kvm.model.verdict import Evidence

_TDX: Final = "tdx_guest"
"""The word in `flags` that the kernel sets in a TDX guest (arch/x86/include/asm/cpufeatures.h)."""


@dataclass(frozen=True, slots=True)
class EncryptedMemory:
    """The signs of encrypted memory inside a guest; without any it may be encrypted all the same.

    Source: `dmesg` and `/proc/cpuinfo`.
    """

    seen: tuple[Evidence, ...]
    """The signs in what was inspected, which may be the CPU's flags alone: they name a cause, and exclude none."""
    unseen: ObservationError | None = None
    """Why the kernel's log was not inspected."""

    @property
    def signs(self) -> tuple[Evidence, ...]:
        """All signs.

        Raises:
            ObservationError: none was seen, and the kernel's log was not inspected.
        """
        if not self.seen and self.unseen is not None:
            raise self.unseen
        return self.seen

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The lines that show it."""
        return self.seen


def encrypted_memory_of(bundle: Bundle, cpu: Cpu) -> EncryptedMemory:
    """The signs in the kernel's log and in the CPU's flags."""
    flagged = (Evidence(sources.CPUINFO, _TDX),) if cpu.offers(_TDX) else ()
    try:
        log = kernel_log_of(bundle)
    except ObservationError as unseen:
        return EncryptedMemory(flagged, unseen)
    return EncryptedMemory((*log.memory_encryption, *flagged))
