"""Why a requirement is violated: a code that programs match on, and a sentence for people."""

from enum import Enum
from typing import Self


class Cause(Enum):
    """One cause: its value is its code, its `explanation` one sentence in plain words."""

    explanation: str

    def __new__(cls, code: str, explanation: str) -> Self:
        """Make a member of its code and its explanation."""
        cause = object.__new__(cls)
        cause._value_ = code
        cause.explanation = explanation
        return cause

    @property
    def code(self) -> str:
        """The code, as results carry it."""
        return str(self.value)

    CPU_LACKS_FLAG = (
        "cpu-lacks-flag",
        "The CPU does not offer hardware virtualization: the model lacks it, or the firmware hides it.",
    )
    FIRMWARE_DISABLED = (
        "firmware-disabled",
        "The firmware (BIOS/UEFI) has switched hardware virtualization off.",
    )
    L0_IS_A_GUEST = (
        "l0-is-a-guest",
        "This host is itself a virtual machine, and its own host withholds hardware virtualization.",
    )
    DEV_KVM_MISSING = (
        "dev-kvm-missing",
        "/dev/kvm is not there, or is not the kernel's KVM device, so no VM can run under KVM.",
    )
    DEV_KVM_WORLD_ACCESSIBLE = (
        "dev-kvm-world-accessible",
        "/dev/kvm is open to every account of the machine, not to its group only.",
    )
    MODULE_NOT_LOADED = (
        "module-not-loaded",
        "The KVM module of this CPU's vendor is not loaded.",
    )
    MODULE_LOAD_FAILED = (
        "module-load-failed",
        "The kernel tried to load the KVM module and refused.",
    )
    OTHER_HYPERVISOR_OWNS_CPU = (
        "other-hypervisor-owns-cpu",
        "Another hypervisor (VirtualBox, VMware) holds the CPU's virtualization mode.",
    )
    NESTED_OFF = (
        "nested-off",
        "The running KVM module does not offer nested virtualization: its guests cannot run guests under KVM.",
    )
    NESTED_ON = (
        "nested-on",
        "The running KVM module offers nested virtualization, which the policy forbids.",
    )
    ASSIST_OFF = (
        "assist-off",
        "A hardware assist that nested guests depend on is switched off, although the CPU offers it.",
    )
    PERSISTED_VALUE_INVALID = (
        "persisted-value-invalid",
        "A value that the module refuses keeps it from loading: after a reboot there is no /dev/kvm.",
    )
    PERSISTED_OFF = (
        "persisted-off",
        "The next load of the module, at the latest after the next boot, turns nested virtualization off.",
    )
    PERSISTED_ON = (
        "persisted-on",
        "The next load of the module, at the latest after the next boot, turns nested virtualization on.",
    )
    CMDLINE_OVERRIDES = (
        "cmdline-overrides",
        "The kernel command line overrides what modprobe.d says.",
    )
    RELOAD_PENDING = (
        "reload-pending",
        "A loaded module keeps its value until it is reloaded, which needs every guest off.",
    )
    NOT_EXPLICIT = (
        "not-explicit",
        "No configuration line that the kernel will see says so; it rests on the kernel's default.",
    )
    DEAD_LINE = (
        "dead-line",
        "A configuration line that names nested is never read: whoever wrote it believes otherwise.",
    )
    CONTRADICTED_LINE = (
        "contradicted-line",
        "A configuration line that sets nested is overridden by another.",
    )
    LOAD_BLOCKED = (
        "load-blocked",
        "The configuration keeps the KVM module from loading at boot.",
    )
    MITIGATION_MISSING = (
        "mitigation-missing",
        "The CPU is vulnerable to an attack from guests, and the kernel does not mitigate it.",
    )
    SHUTDOWN_SAVES_GUESTS = (
        "shutdown-saves-guests",
        "The host's shutdown saves its guests with their memory, which an L1 with a running L2 does not survive.",
    )
    DEV_KVM_NOT_PERMITTED = (
        "dev-kvm-not-permitted",
        "The account that will run the guest's own VMs may not open /dev/kvm: it is not in the device's group.",
    )
    NO_HYPERVISOR_INSTALLED = (
        "no-hypervisor-installed",
        "The guest has no program that could run a VM under KVM.",
    )
    LIBVIRT_CAPABILITIES_STALE = (
        "libvirt-capabilities-stale",
        "libvirt does not know that KVM gives guests the flag: what it remembers of QEMU is stale.",
    )
    LIBVIRT_UNREACHABLE = (
        "libvirt-unreachable",
        "libvirt does not answer, so its guests can neither be judged nor managed.",
    )
    DOMAIN_EMULATED = (
        "domain-emulated",
        "The domain is emulated by TCG instead of running under KVM.",
    )
    FEATURE_DISABLED = (
        "feature-disabled",
        "The domain's CPU definition takes the virtualization flag away.",
    )
    HOST_MODEL_DROPS_SVM = (
        "host-model-drops-svm",
        "On AMD, libvirt's host-model gives no svm unless the definition asks for it by name.",
    )
    NAMED_MODEL_LACKS_FLAG = (
        "named-model-lacks-flag",
        "A named CPU model gives no virtualization flag under KVM unless the definition asks for it by name.",
    )
    WRONG_VENDOR_FEATURE = (
        "wrong-vendor-feature",
        "The domain asks for the other CPU vendor's model or virtualization flag.",
    )
    GUEST_HAS_FLAG = (
        "guest-has-flag",
        "A VMM process on the host shows the virtualization flag to its guest, which the policy forbids.",
    )
    DOMAIN_GIVES_FLAG = (
        "domain-gives-flag",
        "The domain's CPU definition gives its guest the virtualization flag, which the policy forbids.",
    )
    POWER_CYCLE_PENDING = (
        "power-cycle-pending",
        "A domain keeps the CPU it was started with until it is shut down and started: no reboot helps.",
    )
    MEMORY_ENCRYPTION = (
        "memory-encryption",
        "The guest's memory is encrypted (SEV, TDX, Secure Execution): KVM cannot run in such a guest.",
    )
    PROCESS_CONTRADICTS_DEFINITION = (
        "process-contradicts-definition",
        "The domain's QEMU process was started with another CPU or accelerator than libvirt's XML says.",
    )
    SAVED_STATE_HAS_FLAG = (
        "saved-state-has-flag",
        "A managed save or a snapshot brings back a CPU with the virtualization flag, which the policy forbids.",
    )
    SAVED_STATE_HAS_OLD_CPU = (
        "saved-state-has-old-cpu",
        "A managed save, or a snapshot with memory, brings back the CPU it was saved with, and that lacks the flag.",
    )
    FLAG_NOT_GUARANTEED = (
        "flag-not-guaranteed",
        "The definition lets the domain start without the flag, and nobody is told.",
    )
    FLAG_MISSING = (
        "flag-missing",
        "The guest's CPUs do not show the virtualization flag.",
    )
    FLAG_PRESENT = (
        "flag-present",
        "The guest's CPUs show the virtualization flag, which the policy forbids.",
    )
    L2_RUNNING = (
        "l2-running",
        "A guest of this guest runs: a migration, save, snapshot or reboot of the outer one may corrupt or lose it.",
    )
    L2_DOES_NOT_BOOT = (
        "l2-does-not-boot",
        "The guest has all that it takes, and KVM in it does not run a guest of its own.",
    )
    WRONG_GUEST = (
        "wrong-guest",
        "The machine that answers at the guest's address is another one than the inventory's domain.",
    )
    GUEST_KERNEL_LACKS_KVM = (
        "guest-kernel-lacks-kvm",
        "The guest's kernel has no KVM module to load.",
    )
    HOSTS_DIFFER = (
        "hosts-differ",
        "Hosts between which guests may migrate give them different CPUs: what works on one fails on another.",
    )
    L0_UNREACHABLE = (
        "l0-unreachable",
        "The guest's host could not be looked at.",
    )
    L1_UNREACHABLE = (
        "l1-unreachable",
        "The guest could not be looked at from inside.",
    )
    UNDIAGNOSED = (
        "undiagnosed",
        "The host and the definition promise the flag, and the guest does not see it: nothing that was read says why.",
    )
