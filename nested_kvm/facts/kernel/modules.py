"""Which KVM module the running kernel brings along, loaded or not."""

from dataclasses import dataclass

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class KernelModules:
    """kmod's answer for the vendor's module and the running kernel's `release`.

    Source: `modprobe --show-depends`, and `/proc/sys/kernel/osrelease`.
    """

    release: str
    answer: Reading

    @property
    def lacks_it(self) -> bool:
        """Whether kmod surely finds no such module; an answer that says nothing of it is no proof."""
        return self.answer.status is Status.FAILED and "not found" in self.answer.text

    @property
    def doubt(self) -> str:
        """That nobody could be asked for the module, in words for the end of a sentence; empty: kmod was."""
        return "; there is no kmod to tell whether the kernel has it" if self.answer.status is Status.MISSING else ""

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What kmod said."""
        return (self.answer.as_evidence(),)


def kernel_modules_of(bundle: Bundle, module: str) -> KernelModules:
    """What `modprobe --show-depends` says of the module.

    Raises:
        ObservationError: it was not asked.
    """
    answer = bundle.reading(f"modprobe --show-depends {module}")
    return KernelModules(bundle.text("/proc/sys/kernel/osrelease").strip(), answer)
