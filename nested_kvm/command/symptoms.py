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
        "QEMU was asked for a CPU feature that KVM on this host does not offer: for vmx and svm themselves, nested "
        "is off in the module, or the feature is the other vendor's. Of a part of VMX (an MSR and vmx-…) it is a "
        "warning alone: the CPU, or the hypervisor below, has no such part, and the guest nests without it.",
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
        "/dev/kvm…No such device",
        "A node is at /dev/kvm, and KVM has no module for this CPU in the kernel: mknod makes a node and no device.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "failed to initialize kvm: No such device",
        "A node is at /dev/kvm, and KVM has no module for this CPU in the kernel: mknod makes a node and no device.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "failed to initialize kvm: Device or resource busy",
        "Another hypervisor, such as VirtualBox, is using the CPU's virtualization.",
        (Cause.OTHER_HYPERVISOR_OWNS_CPU, Cause.HYPERVISORS_SHARE_CPU),
    ),
    Symptom(
        "KVM_CREATE_VM…Device or resource busy",
        "Another hypervisor, such as VirtualBox, is using the CPU's virtualization.",
        (Cause.OTHER_HYPERVISOR_OWNS_CPU, Cause.HYPERVISORS_SHARE_CPU),
    ),
    Symptom(
        "enabling virtualization on CPU…failed",
        "KVM could not take one CPU: another hypervisor holds it, or the CPU differs from those that KVM has seen.",
        (Cause.OTHER_HYPERVISOR_OWNS_CPU, Cause.MODULE_LOAD_FAILED),
    ),
    Symptom(
        "could not insert 'kvm…Key was rejected by service",
        "Secure Boot or lockdown takes only modules that are signed with a key the kernel knows; this one is of "
        "another kernel, or was built manually.",
        (Cause.MODULE_LOAD_FAILED,),
    ),
    Symptom(
        "could not open moddep file",
        "There are no modules of the running kernel here: it is a container, whose kernel is its host's, or the "
        "kernel's package was replaced without a reboot.",
        (Cause.NO_MODULES, Cause.MODULES_GONE),
    ),
    Symptom(
        "KVM requires a CPU that supports vmx or svm",
        "Android's emulator sees neither flag in /proc/cpuinfo. In a guest its hypervisor decides; a container "
        "shows the flags of the machine that runs it.",
        (Cause.FLAG_MISSING, Cause.CPU_LACKS_FLAG, Cause.FIRMWARE_DISABLED),
    ),
    Symptom(
        "/dev/kvm is not found",
        "Android's emulator sees the flag and no device: the module is not loaded, or the container was not given the "
        "device.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED),
    ),
    Symptom(
        'adding custom device "/dev/kvm"',
        "Docker cannot hand on /dev/kvm: the machine that runs the container has none, and only there can it be made.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "Insufficient devices.kubevirt.io/kvm",
        "No node of the cluster has a free /dev/kvm: their modules are not loaded, or they are guests without the "
        "flag.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "device '/dev/kvm' not present",
        "The node of the cluster has no /dev/kvm: its module is not loaded, or the node is a guest without the flag.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "Error creating…KVM object…No such file or directory",
        "Firecracker finds no /dev/kvm: the module of this CPU's vendor is not loaded, or could not be.",
        (Cause.DEV_KVM_MISSING, Cause.MODULE_NOT_LOADED, Cause.FLAG_MISSING),
    ),
    Symptom(
        "Error creating…KVM object…Error(13)",
        "Firecracker may not open /dev/kvm; usually the account is not in the device's group.",
        (Cause.DEV_KVM_NOT_PERMITTED,),
    ),
    Symptom(
        "KVM virtualisation configured, but not available",
        "Proxmox has no /dev/kvm: in a guest of Proxmox or another hypervisor its CPU type is not host, or nested "
        "is off.",
        (Cause.DEV_KVM_MISSING, Cause.FLAG_MISSING, Cause.FIRMWARE_DISABLED),
    ),
    Symptom(
        "Only emulated CPUs are available",
        "virt-host-validate sees neither vmx nor svm in /proc/cpuinfo.",
        (Cause.FLAG_MISSING, Cause.CPU_LACKS_FLAG, Cause.FIRMWARE_DISABLED),
    ),
    Symptom(
        "need to enable virtualization in BIOS",
        "CodeReady Containers sees neither vmx nor svm in /proc/cpuinfo. In a guest its hypervisor decides, and no "
        "BIOS.",
        (Cause.FLAG_MISSING, Cause.FIRMWARE_DISABLED, Cause.CPU_LACKS_FLAG),
    ),
    Symptom(
        "Nested virtualization is not supported on this machine",
        "WSL gives its guest no flag: Windows 10 never does, and on Windows 11 the CPU or Hyper-V has to offer it.",
        (Cause.FLAG_MISSING,),
    ),
    Symptom(
        "TCG doesn't support requested feature",
        "QEMU emulates this VM: vmx exists under KVM only.",
        (Cause.DOMAIN_EMULATED, Cause.DEV_KVM_MISSING),
    ),
    Symptom(
        "KVM: entry failed, hardware error",
        "The CPU refused to enter the VM. In a guest the hypervisor below offers more of VMX than it carries out; "
        "on an old CPU it may be that ept or the unrestricted guest is missing.",
        (Cause.L2_DOES_NOT_BOOT, Cause.PAGING_NOT_OFFERED, Cause.KERNEL_FAULT),
    ),
    Symptom(
        "KVM_EXIT_FAIL_ENTRY",
        "The CPU refused to enter the VM. In a guest the hypervisor below offers more of VMX than it carries out; "
        "on an old CPU it may be that ept or the unrestricted guest is missing.",
        (Cause.L2_DOES_NOT_BOOT, Cause.PAGING_NOT_OFFERED, Cause.KERNEL_FAULT),
    ),
    Symptom(
        "KVM internal error. Suberror",
        "KVM cannot go on with the VM: it met an instruction that it does not emulate, often because ept or the "
        "unrestricted guest is missing.",
        (Cause.L2_DOES_NOT_BOOT, Cause.PAGING_NOT_OFFERED),
    ),
    Symptom(
        "accessing unsupported EVMCS field",
        "A guest of Hyper-V or Azure uses a part of VMX for which its kernel has no place in Hyper-V's enlightened "
        "VMCS; its VMs fail. Another kernel in that guest does not.",
        (Cause.L2_DOES_NOT_BOOT, Cause.KERNEL_FAULT),
    ),
    Symptom(
        "KVM is not available. Ignoring kvm-arm.mode",
        "An arm64 kernel was started without EL2, so its mode does not matter: the firmware, or the hypervisor below, "
        "keeps EL2.",
        (Cause.MODULE_LOAD_FAILED, Cause.DEV_KVM_MISSING),
    ),
    Symptom(
        "KVM does not support providing Virtualization extensions to the guest CPU",
        "QEMU's virtualization=on asks an arm64 host for nesting: it was not booted with kvm-arm.mode=nested, its "
        "CPU has no FEAT_NV2, or it is a guest itself.",
        (Cause.NESTED_OFF,),
    ),
    Symptom(
        "VERR_SVM_IN_USE",
        "KVM and VirtualBox both want the CPU, and since Linux 6.12 KVM holds it as soon as it is loaded. For KVM "
        "nothing is wrong.",
        (Cause.OTHER_HYPERVISOR_OWNS_CPU, Cause.HYPERVISORS_SHARE_CPU),
    ),
    Symptom(
        "VERR_VMX_IN_VMX_ROOT_MODE",
        "KVM and VirtualBox both want the CPU, and since Linux 6.12 KVM holds it as soon as it is loaded. For KVM "
        "nothing is wrong.",
        (Cause.OTHER_HYPERVISOR_OWNS_CPU, Cause.HYPERVISORS_SHARE_CPU),
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
