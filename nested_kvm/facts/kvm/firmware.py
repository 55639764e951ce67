"""Whether the firmware disables hardware virtualization, judging by the kernel's log, or by KVM itself, which runs."""

from dataclasses import dataclass

from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.log import KernelLog
from nested_kvm.facts.kvm.device import KvmDevice
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class Firmware:
    """The log lines which report that the firmware disables virtualization; `unknown` is why it may do so without one.

    Source: `dmesg`; where it may not be read, `/sys/module` and `/dev/kvm`, which show whether KVM runs.
    """

    disabled: tuple[Evidence, ...]
    unknown: str = ""
    evidence: tuple[Evidence, ...] = ()


def firmware_by_log(log: KernelLog) -> Firmware:
    """The firmware's setting as the kernel logs it."""
    return Firmware(log.firmware_disabled, evidence=log.firmware_disabled)


def firmware_by_module(module: KvmModule) -> Firmware:
    """The firmware's setting as a loadable module shows it: where virtualization is disabled, it does not load."""
    unknown = "" if module.is_loaded else f"the kernel log could not be read, and {module.name} {module.lack}"
    return Firmware((), unknown, module.evidence)


def firmware_by_device(device: KvmDevice) -> Firmware:
    """The firmware's setting as a built-in module shows it: where virtualization is disabled, there is no device."""
    unknown = "" if device.exists else "the kernel log could not be read, and /dev/kvm does not exist"
    return Firmware((), unknown, device.evidence)
