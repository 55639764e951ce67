"""The drivers of other hypervisors beside KVM, and whether KVM holds the CPU against them."""

from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.model.verdict import Evidence

_PARAMETERS: Final = f"{sources.MODULES}/kvm/parameters"
_OFF: Final = frozenset({"enable_virt_at_load=N", "enable_virt_at_load=0"})


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other hypervisors whose modules are loaded.

    Source: `/sys/module`, and the parameter `enable_virt_at_load` of the module kvm.
    """

    names: tuple[str, ...]
    may_take_the_cpu: bool
    evidence: tuple[Evidence, ...] = ()


def neighbours_of(bundle: Bundle, module: KvmModule) -> Neighbours:
    """Without the parameter, KVM is older than 6.12, and takes the CPU when a VM starts; then nothing is said.

    Raises:
        ObservationError: another hypervisor is loaded, and the parameters of kvm could not be read.
    """
    names = module.other_hypervisors
    lines = _parameters(bundle) if names and module.is_loaded else []
    set_off = [line for line in lines if line.strip() in _OFF]
    shown = (Evidence(sources.MODULES, ", ".join(names)), *(Evidence(_PARAMETERS, line) for line in set_off))
    return Neighbours(names, bool(names and set_off), shown if names else ())


def _parameters(bundle: Bundle) -> list[str]:
    reading = bundle.reading(_PARAMETERS)
    return [] if reading.status is Status.ABSENT else reading.require().text.split("\n")
