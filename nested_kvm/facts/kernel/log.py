"""The kernel log: what the kernel logged about KVM since it booted."""

import re
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.model.verdict import Evidence

# "SVM disabled" alone is the IOMMU's shared virtual memory (drivers/iommu/intel/svm.c).
_FIRMWARE: Final = re.compile(
    r"disabled by bios|svm disabled \(by bios\)|virtualization.*disabled.*(bios|firmware)",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(
    r"invalid for parameter|no hardware support|kvm_(intel|amd): .*(not supported|failed|error)|"
    r"kvm: (cpu doesn't|failed|disabled by bios|support for '\w+' disabled)|"
    r"kvm-s390: (sie is not available|a kvm host that supports nesting cannot)|"
    r"parent hypervisor does not support nesting|"
    r"kvm \[\d+\]: (hyp mode not available|nv support requires gicv3|kvm disabled from command line)",
    re.IGNORECASE,
)
_NAMELESS: Final = re.compile(r"no hardware support\s*$", re.IGNORECASE)
_VENDOR_MODULES: Final = frozenset({"kvm_intel", "kvm_amd"})
_WORD: Final = re.compile(r"\w+")
_OWNED: Final = re.compile(r"vboxdrv|vmmon|vmx.*already.*(in use|enabled)|(vmx|svm) is being used", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class KernelLog:
    """The log lines about KVM. A log that may not be read has none, and `is_readable` is False.

    Source: `dmesg`, its lines that name KVM, svm, vmx or another hypervisor.
    """

    lines: tuple[str, ...]
    is_readable: bool

    @property
    def firmware_disabled(self) -> tuple[Evidence, ...]:
        """Lines which report that the firmware disables virtualization."""
        return self._matching(_FIRMWARE)

    def refusals_of(self, module: str, *, flag_is_shown: bool) -> tuple[Evidence, ...]:
        """Lines in which the kernel refuses to load that KVM module.

        A line that names the other vendor's module is about that one only. Before 5.16 "no hardware support" names
        none: where every CPU shows the flag, it is about the module for another CPU.
        """
        others = _VENDOR_MODULES - {module}
        refusals = (item for item in self._matching(_REFUSED) if not others & set(_WORD.findall(item.text)))
        return tuple(item for item in refusals if not (flag_is_shown and _NAMELESS.search(item.text)))

    @property
    def owned_by_other(self) -> tuple[Evidence, ...]:
        """Lines which report that another hypervisor uses the CPU."""
        return self._matching(_OWNED)

    def _matching(self, pattern: re.Pattern[str]) -> tuple[Evidence, ...]:
        return tuple(Evidence(sources.KERNEL_LOG, line.strip()) for line in self.lines if pattern.search(line))


def kernel_log_of(bundle: Bundle) -> KernelLog:
    """The log lines that `dmesg` prints; it may be denied (kernel.dmesg_restrict), or have rotated.

    Sample: `[   11.774291] kvm: Nested Virtualization enabled`

    Raises:
        ObservationError: the target was not observed, or the answer ended before.
    """
    reading = bundle.reading(sources.KERNEL_LOG)
    lines = tuple(reading.text.splitlines()) if reading.status is Status.OK else ()
    return KernelLog(lines, reading.status is Status.OK)
