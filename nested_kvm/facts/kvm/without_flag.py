"""What lets a guest run VMs although its CPUs show no flag: PVM, or a flag that its own command line takes away."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kernel.cmdline import cleared_flags
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kernel.kvm_module import PVM
from nested_kvm.model.architecture import X86, architecture_of
from nested_kvm.model.verdict import Evidence

_MODULES: Final = (Vendor.INTEL.module, Vendor.AMD.module)


@dataclass(frozen=True, slots=True)
class WithoutFlag:
    """What may run VMs in a machine whose CPUs show no flag. Only x86 has any.

    Source: `/sys/module` and `/proc/cmdline`.
    """

    seen: tuple[Evidence, ...]
    unseen: ObservationError | None = None
    """Why one of the two was not read."""

    @property
    def signs(self) -> tuple[Evidence, ...]:
        """All of it.

        Raises:
            ObservationError: none was seen, and not everything was read.
        """
        if not self.seen and self.unseen is not None:
            raise self.unseen
        return self.seen

    @property
    def text(self) -> str:
        """What was seen, for messages."""
        return "; ".join(f"{each.source}: {each.text}" for each in self.seen)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The module, and the words."""
        return self.seen


def without_flag_of(bundle: Bundle) -> WithoutFlag:
    """Look for PVM, and for a flag that the kernel hides: a boot without that word shows it again."""
    if architecture_of(bundle.text(sources.ARCHITECTURE).strip()) is not X86:
        return WithoutFlag(())
    seen: list[Evidence] = []
    unseen: ObservationError | None = None
    for look in (_pvm, _cleared):
        try:
            seen += look(bundle)
        except ObservationError as error:
            unseen = unseen or error
    return WithoutFlag(tuple(seen), unseen)


def _pvm(bundle: Bundle) -> Iterator[Evidence]:
    if PVM in bundle.text(sources.MODULES).split():
        yield Evidence(f"{sources.MODULES}/{PVM}", "exists: it runs VMs without vmx and svm")


def _cleared(bundle: Bundle) -> Iterator[Evidence]:
    cmdline = bundle.text(sources.CMDLINE)
    for module in _MODULES:
        for name in cleared_flags(cmdline, module):
            yield Evidence(sources.CMDLINE, f"clearcpuid={name} hides the flag until a boot without it")
