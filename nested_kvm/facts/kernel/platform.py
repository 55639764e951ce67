"""What a machine runs on: hardware, or a hypervisor, which DMI, the kernel's name or its command line may name.

sys_vendor: QEMU        product_name: Standard PC (Q35 + ICH9, 2009)
"""

from dataclasses import dataclass

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.layer import DMI_NAMES, dmi_names, layer_of_readings
from nested_kvm.evidence.reading import Status
from nested_kvm.facts.kernel.cpu import Cpu
from nested_kvm.model.layer import Layer, is_physical
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class Platform:
    """What the machine runs on. `layer` None: nothing names a hypervisor.

    Source: `/sys/class/dmi/id`, `/proc/sys/kernel/osrelease`, `/proc/cmdline`, and the `hypervisor` flag of
    `/proc/cpuinfo`.
    """

    layer: Layer | None
    hypervisor_bit: bool | None
    """Whether a CPU has the `hypervisor` flag; None where an architecture has none."""
    dmi: str | None
    """Manufacturer and product; None where DMI shows neither."""
    evidence: tuple[Evidence, ...] = ()

    @property
    def is_virtual(self) -> bool:
        """Whether the machine is known to be a guest: by the flag, or by a name."""
        return bool(self.hypervisor_bit) or self.layer is not None

    @property
    def name(self) -> str:
        """The layer and the names of the machine, for messages."""
        parts = [self.layer.value if self.layer is not None else "", self.dmi or ""]
        return ", ".join(part for part in parts if part) or "a hypervisor without a name"

    @property
    def contradiction(self) -> str | None:
        """How the flag and the names contradict each other; None: they do not."""
        if self.hypervisor_bit is False and self.layer is not None:
            return f"the CPUs do not show the hypervisor flag, and the machine names itself a guest of {self.layer}"
        if self.hypervisor_bit and self.layer is None and is_physical(self.dmi or ""):
            return f"the CPUs show the hypervisor flag, and DMI names a physical machine, {self.dmi}"
        return None


def platform_of(bundle: Bundle, cpu: Cpu) -> Platform:
    """What the machine runs on, as far as it shows that.

    Raises:
        ObservationError: the kernel's release or DMI was not inspected.
    """
    for name in DMI_NAMES:
        reading = bundle.reading(f"{sources.DMI}/{name}")
        if reading.status is not Status.ABSENT:
            reading.require()
    release, dmi = bundle.text(sources.KERNEL_RELEASE).strip(), dmi_names(bundle.readings)
    shown = (Evidence(sources.DMI, dmi),) if dmi else (Evidence(sources.KERNEL_RELEASE, release),)
    bit = cpu.is_virtual if cpu.is_x86 else None
    return Platform(layer_of_readings(bundle.readings), bit, dmi or None, shown)
