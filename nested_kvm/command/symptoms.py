"""Messages that people search for, and the causes that they may have.

They are those of the kernel, kmod, QEMU, libvirt and VirtualBox; a pattern has what is constant in one of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.model.cause import Cause


@dataclass(frozen=True, slots=True)
class Symptom:
    """One message, with what it means. `causes` are the usual ones, the likeliest first."""

    message: str
    """The message as it is printed; `…` stands for what varies."""
    meaning: str
    causes: tuple[Cause, ...]

    def matches(self, text: str) -> bool:
        """Whether the constant parts of the message occur in the text, in order."""
        parts = (re.escape(part.strip()) for part in self.message.split("…"))
        pattern = ".{0,200}?".join(part for part in parts if part)
        return re.search(pattern.replace(r"\ ", r"\s+"), text[:4000], re.IGNORECASE | re.DOTALL) is not None


SYMPTOMS: Final = (
    Symptom(
        "disabled by bios",
        "The firmware has switched hardware virtualization off; no setting of the system can switch it on.",
        (Cause.FIRMWARE_DISABLED,),
    ),
    Symptom(
        "VMX not enabled (by BIOS)",
        "The firmware has switched VT-x off, or locked it that way; no setting of the system can switch it on.",
        (Cause.FIRMWARE_DISABLED,),
    ),
    Symptom(
        "SVM disabled (by BIOS)",
        "The firmware has switched AMD-V off; no setting of the system can switch it on.",
        (Cause.FIRMWARE_DISABLED,),
    ),
    Symptom(
        "is disabled by your BIOS",
        "kvm-ok found the flag, and a kernel that may not use it: the firmware has switched virtualization off.",
        (Cause.FIRMWARE_DISABLED,),
    ),
    Symptom(
        "no hardware support",
        "The kernel finds no virtualization in the CPU that the named module is for: on AMD that is said of kvm_intel "
        "even where kvm_amd works. In a guest its hypervisor does not expose the flag.",
        (Cause.FLAG_MISSING, Cause.CPU_LACKS_FLAG, Cause.MODULE_LOAD_FAILED),
    ),
    Symptom(
        "not supported by CPU",
        "The module finds no virtualization in the CPU. In a guest its hypervisor does not expose the flag.",
        (Cause.FLAG_MISSING, Cause.CPU_LACKS_FLAG),
    ),
    Symptom(
        "invalid for parameter",
        "The module refuses the value in modprobe.d or on the command line and does not load at all: kvm_amd takes "
        "numbers only, so `nested=Y` leaves a host without /dev/kvm.",
        (Cause.PERSISTED_VALUE_INVALID,),
    ),
    Symptom(
        "could not insert 'kvm…Invalid argument",
        "An option of the module has a value that it refuses.",
        (Cause.PERSISTED_VALUE_INVALID,),
    ),
    Symptom(
        "could not insert 'kvm…Operation not supported",
        "The CPU, as this kernel sees it, has no virtualization, or the firmware has switched it off.",
        (Cause.FLAG_MISSING, Cause.FIRMWARE_DISABLED, Cause.CPU_LACKS_FLAG),
    ),
    Symptom(
        "could not insert 'kvm…Input/output error",
        "The module could not switch virtualization on: the hypervisor withholds it, the firmware locked it, or "
        "another hypervisor is using it.",
        (Cause.MODULE_LOAD_FAILED, Cause.FIRMWARE_DISABLED, Cause.OTHER_HYPERVISOR_OWNS_CPU),
    ),
    Symptom(
        "could not insert 'kvm…Device or resource busy",
        "Another hypervisor, such as VirtualBox, is using the CPU's virtualization.",
        (Cause.OTHER_HYPERVISOR_OWNS_CPU,),
    ),
    Symptom(
        "Module kvm…not found in directory",
        "The running kernel ships no such module: a reduced cloud kernel, or one that was replaced and not rebooted.",
        (Cause.GUEST_KERNEL_LACKS_KVM, Cause.MODULE_NOT_LOADED),
    ),
    Symptom(
        "Module kvm…is in use",
        "A VM runs and holds the module: parameters such as nested change only when it is loaded again.",
        (Cause.RELOAD_PENDING,),
    ),
    Symptom(
        "Could not access KVM kernel module: No such file or directory",
        "There is no /dev/kvm: the module of this CPU's vendor is not loaded, or could not be.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "Could not access KVM kernel module: Permission denied",
        "The account may not open /dev/kvm; usually it is not in the device's group, or has not logged in again since.",
        (Cause.DEV_KVM_NOT_PERMITTED,),
    ),
    Symptom(
        "/dev/kvm does not exist",
        "The module of this CPU's vendor is not loaded, or could not be.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "KVM acceleration can NOT be used",
        "The CPU shows no virtualization, or the firmware has switched it off. In a guest its hypervisor decides.",
        (Cause.FLAG_MISSING, Cause.CPU_LACKS_FLAG, Cause.FIRMWARE_DISABLED),
    ),
    Symptom(
        "Checking for hardware virtualization…FAIL",
        "virt-host-validate sees neither vmx nor svm in /proc/cpuinfo.",
        (Cause.FLAG_MISSING, Cause.CPU_LACKS_FLAG, Cause.FIRMWARE_DISABLED),
    ),
    Symptom(
        "host doesn't support requested feature",
        "QEMU was asked for a CPU feature that KVM on this host does not offer: for vmx and svm, nested is off in the "
        "module, or the feature is the other vendor's.",
        (Cause.NESTED_OFF, Cause.WRONG_VENDOR_FEATURE, Cause.CPU_LACKS_FLAG),
    ),
    Symptom(
        "Host CPU does not provide required features",
        "libvirt refuses to start the domain: KVM does not offer a feature that the definition requires.",
        (Cause.NESTED_OFF, Cause.WRONG_VENDOR_FEATURE, Cause.LIBVIRT_CAPABILITIES_STALE),
    ),
    Symptom(
        "does not support virt type 'kvm'",
        "libvirt knows no KVM on this host: /dev/kvm is missing, or its memory of QEMU is older than the module.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.LIBVIRT_CAPABILITIES_STALE),
    ),
    Symptom(
        "could not find capabilities for…domaintype=kvm",
        "libvirt knows no KVM on this host: /dev/kvm is missing, or its memory of QEMU is older than the module.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.LIBVIRT_CAPABILITIES_STALE),
    ),
    Symptom(
        "kvm: Unknown symbol",
        "A module that KVM needs is missing, or belongs to another kernel: usually its package was replaced without a "
        "reboot, or is incomplete.",
        (Cause.MODULE_LOAD_FAILED, Cause.MODULES_GONE),
    ),
    Symptom(
        "Inconsistent VMCS config",
        "The CPUs do not offer the same VMX features: firmware or microcode differ, or, in a guest, its vCPUs changed.",
        (Cause.MODULE_LOAD_FAILED,),
    ),
    Symptom(
        "HYP mode not available",
        "An arm64 kernel was started without EL2: the firmware, or the hypervisor below, keeps it.",
        (Cause.MODULE_LOAD_FAILED,),
    ),
    Symptom(
        "error: failed to set MSR",
        "KVM in this guest promises a register that the kernel below does not take, and QEMU ends: the guest's kernel "
        "is too old for the CPU that it is shown.",
        (Cause.L2_DOES_NOT_BOOT,),
    ),
    Symptom(
        "failed to initialize kvm: Permission denied",
        "The account may not open /dev/kvm; usually it is not in the device's group, or has not logged in again since.",
        (Cause.DEV_KVM_NOT_PERMITTED,),
    ),
    Symptom(
        "failed to initialize kvm: No such file or directory",
        "There is no /dev/kvm: the module of this CPU's vendor is not loaded, or could not be.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "/sys/module/kvm…/parameters/nested: No such file or directory",
        "That module is not loaded: the CPU is the other vendor's, or the load failed.",
        (Cause.MODULE_NOT_LOADED, Cause.MODULE_LOAD_FAILED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "CPU mode 'host-passthrough' for…is not supported by hypervisor",
        "libvirt knows no KVM on this host, and passes a host's CPU through under KVM only.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.LIBVIRT_CAPABILITIES_STALE),
    ),
    Symptom(
        "doesn't have VT-X/AMD-v enabled",
        "The CPU shows no virtualization, or the firmware has switched it off. In a guest its hypervisor decides.",
        (Cause.FLAG_MISSING, Cause.CPU_LACKS_FLAG, Cause.FIRMWARE_DISABLED),
    ),
    Symptom(
        "VERR_SVM_DISABLED",
        "VirtualBox found AMD-V switched off, usually by the firmware.",
        (Cause.FIRMWARE_DISABLED,),
    ),
    Symptom(
        "VERR_VMX_NO_VMX",
        "VirtualBox found no VT-x in the CPU. In a guest its hypervisor does not expose the flag.",
        (Cause.FLAG_MISSING, Cause.CPU_LACKS_FLAG),
    ),
    Symptom(
        "/dev/kvm…permission denied",
        "The account may not open /dev/kvm; usually it is not in the device's group, or has not logged in again since.",
        (Cause.DEV_KVM_NOT_PERMITTED,),
    ),
    Symptom(
        "guest CPU doesn't match specification: missing features",
        "The domain was started, and its CPU lacks a feature that the definition requires: KVM did not give it.",
        (Cause.NESTED_OFF, Cause.WRONG_VENDOR_FEATURE, Cause.CPU_LACKS_FLAG),
    ),
    Symptom(
        "VirtualBox can't operate in VMX root mode",
        "KVM and VirtualBox both want the CPU's virtualization, and only one of them can have it.",
        (Cause.OTHER_HYPERVISOR_OWNS_CPU,),
    ),
    Symptom(
        "VT-x is being used by another hypervisor",
        "KVM and another hypervisor both want the CPU's virtualization, and only one of them can have it.",
        (Cause.OTHER_HYPERVISOR_OWNS_CPU,),
    ),
    Symptom(
        "Nested VMX virtualization does not support live migration",
        "QEMU refuses to migrate or save a guest that has vmx: it cannot carry over an L2.",
        (Cause.L2_RUNNING,),
    ),
)


def symptoms_of(text: str) -> Iterator[Symptom]:
    """The messages that occur in a text."""
    return (symptom for symptom in SYMPTOMS if symptom.matches(text))
