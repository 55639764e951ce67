"""The hardware assists that nested guests depend on, as the running module uses them.

A parameter is one word, such as `Y` in `/sys/module/kvm_intel/parameters/ept`; the CPU offers what a word of its
`flags` or `vmx flags` line names.
"""

from dataclasses import dataclass
from typing import Final

from nested_kvm.facts.kernel.cpu import Cpu, Vendor
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.model.verdict import Evidence

_ASSISTS: Final = {
    Vendor.INTEL: {"ept": "ept", "enable_shadow_vmcs": "shadow_vmcs"},
    Vendor.AMD: {"npt": "npt", "vgif": "vgif", "vls": "v_vmsave_vmload"},
}
"""Parameter to the word in /proc/cpuinfo that shows the CPU's support (arch/x86/include/asm/cpufeatures.h)."""
_PAGING: Final = frozenset({"ept", "npt"})
"""Without it KVM shadows the page tables of L1 and L2 alike: nesting is offered, and is not to be relied upon."""
_OFF: Final = frozenset({"N", "n", "0"})


@dataclass(frozen=True, slots=True)
class Assists:
    """The assists that are `off` although the CPU offers them, those that could be read, and those that could not.

    Source: the parameters of the vendor's module in `/sys/module`, and `/proc/cpuinfo` for what the CPU offers.
    """

    off: tuple[str, ...]
    read: tuple[Evidence, ...]
    unreadable: tuple[str, ...] = ()
    not_offered: tuple[str, ...] = ()
    """Second-level paging, where it is off because the CPU has none."""

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The value of each parameter that could be read."""
        return self.read


def assists_of(cpu: Cpu, module: KvmModule) -> Assists:
    """The assists of the CPU's vendor. A parameter that this kernel lacks is not counted."""
    words = _ASSISTS[cpu.require_vendor()]
    present = {name: module.parameters[name].strip() for name in words if name in module.parameters}
    return Assists(
        off=tuple(name for name, value in present.items() if value in _OFF and cpu.offers(words[name])),
        read=tuple(Evidence(f"{module.directory}/parameters/{name}", value) for name, value in present.items()),
        not_offered=tuple(
            name for name in _PAGING & present.keys() if present[name] in _OFF and not cpu.offers(words[name])
        ),
        unreadable=tuple(name for name in words if name in module.unreadable),
    )
