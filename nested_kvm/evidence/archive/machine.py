"""One machine of a support archive, as its kind's reader found it, and the bundle that is made of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.archive.kmod import ModuleIndex, ask_kmod
from nested_kvm.evidence.bundle import Bundle, LibvirtAnswer, Origin
from nested_kvm.evidence.bundle_file import EVIDENCE
from nested_kvm.evidence.observe import bundle_of_answer
from nested_kvm.evidence.probe.answer import ProbeAnswer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.text import printable

LIBVIRT_URI: Final = "qemu:///system"
_KNOWN: Final = (
    sources.ARCHITECTURE,
    sources.ACCOUNT,
    sources.CMDLINE,
    sources.CPUINFO,
    sources.KERNEL_RELEASE,
    sources.KERNEL_VERSION,
    sources.KERNEL_LOG,
    *(f"{sources.DMI}/{name}" for name in ("sys_vendor", "product_name", "product_uuid")),
    sources.NAMESPACES,
    sources.MODULES,
    sources.MODULE_TREES,
    *(f"{sources.VULNERABILITIES}/{name}" for name in ("itlb_multihit", "l1tf")),
    sources.MOUNTS,
    sources.OS_RELEASE,
    sources.UDEV_RULES,
    sources.MODPROBE_VERSION,
    sources.EVERY_MODULE,
    sources.GRUB,
    sources.GRUB_D,
    sources.GRUBENV,
    sources.BOOT_ENTRIES,
    sources.KERNEL_INSTALL,
    sources.ESP_IMAGES,
    sources.DEV_KVM,
    sources.GETFACL,
    sources.DEBUGFS,
    sources.VMM_PROCESSES,
    sources.VM_HOLDERS,
    sources.HYPERVISORS,
    sources.LIBVIRT_CACHE,
    sources.LIBVIRT_GUESTS,
    *sources.LIBVIRT_GUESTS_SETTINGS,
    *sources.LIBVIRT_GUESTS_SCRIPTS,
    sources.QEMU_CONF,
)
"""What the probe always prints: of each the bundle says that the archive does not hold it, if it does not."""


@dataclass(frozen=True, slots=True)
class ArchivedMachine:
    """One machine of an archive. `readings` are those that the archive decides, or says why it does not."""

    name: str
    observed_at: datetime
    kind: str
    tool: str
    readings: Iterable[Reading]
    libvirt: LibvirtAnswer
    modules: ModuleIndex = field(default_factory=ModuleIndex)
    scheme: str = ""
    """How the target's address begins; empty: like the kind."""

    def bundle(self, file: str) -> Bundle:
        """The bundle of the machine, with kmod's verdict and with all that the archive, named `file`, does not hold."""
        readings = {reading.source: reading for reading in self.readings}
        release = readings.get(sources.KERNEL_RELEASE)
        answer = ask_kmod(readings, "" if release is None else release.text.strip(), self.modules)
        for reading in answer.readings:
            readings.setdefault(reading.source, reading)
        for source in _KNOWN:
            readings.setdefault(source, self.not_collected(source))
        address = Address(f"{self.scheme or self.kind}://{printable(file)}", EVIDENCE)
        target = Target(self.name, TargetLevel.AUTO, address, Policy(), libvirt=LIBVIRT_URI)
        bundle = bundle_of_answer(target, ProbeAnswer(readings), self.observed_at, lambda _: self.libvirt)
        # Also of a guest: an inventory may declare it as an L0.
        return replace(bundle, libvirt=self.libvirt, origin=Origin(self.kind, self.tool, file, answer.version))

    def not_collected(self, source: str) -> Reading:
        """The reading of what the tool does not collect."""
        return Reading(source, Status.NOT_COLLECTED, f"{self.tool} does not collect {source}")
