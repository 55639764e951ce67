"""Whether the running kernel comes with the KVM module, loaded or not."""

from dataclasses import dataclass

from nested_kvm.evidence import sources
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
        """Whether kmod finds no such module; an answer that does not mention it proves nothing."""
        return self.answer.status is Status.FAILED and "not found" in self.answer.text

    @property
    def doubt(self) -> str:
        """That kmod could not be asked, in words for the end of a sentence; empty: it was asked."""
        return (
            "; kmod is not installed, so it is unknown whether the kernel has it"
            if self.answer.status is Status.MISSING
            else ""
        )

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The answer of kmod."""
        return (self.answer.as_evidence(),)


def kernel_modules_of(bundle: Bundle, module: str) -> KernelModules:
    """The answer of `modprobe --show-depends` for the module.

    Raises:
        ObservationError: it was not asked.
    """
    answer = bundle.reading(sources.show_depends(module))
    return KernelModules(bundle.text(sources.KERNEL_RELEASE).strip(), answer)
