"""Why a requirement is violated: a code that programs match on, and a sentence for people."""

from enum import Enum
from typing import Self


class Cause(Enum):
    """Why a control failed: the value is the code, `explanation` is one sentence for people."""

    explanation: str

    def __new__(cls, code: str, explanation: str) -> Self:
        """Create a member from its code and its explanation."""
        cause = object.__new__(cls)
        cause._value_ = code
        cause.explanation = explanation
        return cause

    @property
    def code(self) -> str:
        """The cause code as it appears in results.json."""
        return str(self.value)

    CPU_LACKS_FLAG = (
        "cpu-lacks-flag",
        "The CPU does not offer hardware virtualization: the model lacks it, or the firmware hides it.",
    )
    FIRMWARE_DISABLED = (
        "firmware-disabled",
        "Hardware virtualization is disabled in the firmware (BIOS/UEFI).",
    )
    L0_IS_A_GUEST = (
        "l0-is-a-guest",
        "This host is itself a virtual machine, and its hypervisor does not expose hardware virtualization to it.",
    )
    HYPERVISOR_HIDDEN = (
        "hypervisor-hidden",
        "The machine names itself a guest, and its CPUs hide the hypervisor flag: it is no physical host.",
    )
    NOT_A_GUEST = (
        "not-a-guest",
        "The target shows no hypervisor below it: it is a physical machine, or a container on one.",
    )
    DEV_KVM_MISSING = (
        "dev-kvm-missing",
        "/dev/kvm is missing or is not the KVM device, so no VM can run under KVM.",
    )
    DEV_KVM_WORLD_ACCESSIBLE = (
        "dev-kvm-world-accessible",
        "/dev/kvm is accessible to every account on the machine, not only to its group.",
    )
    MODULE_NOT_LOADED = (
        "module-not-loaded",
        "The KVM module of this CPU's vendor is not loaded.",
    )
    MODULE_LOAD_FAILED = (
        "module-load-failed",
        "The kernel tried to load the KVM module, and the load failed.",
    )
    KERNEL_LACKS_KVM = (
        "kernel-lacks-kvm",
        "The running kernel was built without KVM.",
    )
    MODULES_GONE = (
        "modules-gone",
        "The running kernel's modules are no longer on disk: KVM can only be loaded after a reboot.",
    )
    NO_MODULES = (
        "no-modules",
        "There are no kernel modules here, as in a container or a system that runs from its initrd.",
    )
    OTHER_HYPERVISOR_OWNS_CPU = (
        "other-hypervisor-owns-cpu",
        "Another hypervisor (VirtualBox, VMware) is using VT-x/AMD-V, so KVM cannot.",
    )
    NESTED_OFF = (
        "nested-off",
        "Nested virtualization is off in the running KVM module: its guests cannot run VMs under KVM.",
    )
    NESTED_ON = (
        "nested-on",
        "Nested virtualization is on in the running KVM module, which the policy forbids.",
    )
    ASSIST_OFF = (
        "assist-off",
        "A hardware assist that nested guests depend on is disabled, although the CPU supports it.",
    )
    PAGING_NOT_OFFERED = (
        "paging-not-offered",
        "The CPU has no second-level paging (EPT, NPT): nesting is offered, and L2s are slow or do not start.",
    )
    HYPERVISORS_SHARE_CPU = (
        "hypervisors-share-cpu",
        "Another hypervisor's driver is loaded beside KVM, which does not hold the CPU against it.",
    )
    KERNEL_FAULT = (
        "kernel-fault",
        "The running kernel has a known fault because of which nesting fails, whatever is configured.",
    )
    PAGE_TABLES_REFUSED = (
        "page-tables-refused",
        "KVM refuses the page tables of the program that starts VMs: on s390x vm.allocate_pgste is off.",
    )
    DOMAIN_PAUSED = (
        "domain-paused",
        "The domain is paused, so nothing in the guest answers.",
    )
    PERSISTED_VALUE_INVALID = (
        "persisted-value-invalid",
        "The configured value is invalid: the module will not load, and /dev/kvm will be missing after a reboot.",
    )
    PERSISTED_OFF = (
        "persisted-off",
        "Nested virtualization will be off after the next module load, at the latest after the next reboot.",
    )
    PERSISTED_ON = (
        "persisted-on",
        "Nested virtualization will be on after the next module load, at the latest after the next reboot.",
    )
    CMDLINE_OVERRIDES = (
        "cmdline-overrides",
        "The kernel command line overrides the modprobe.d configuration.",
    )
    VOLATILE_CONFIGURATION = (
        "volatile-configuration",
        "The file that sets nested is gone after the next boot: it is in memory, or made again by the system's image.",
    )
    DEVICE_MODE_REVERTS = (
        "device-mode-reverts",
        "The mode of /dev/kvm was changed without a udev rule, and udev will take it back.",
    )
    RELOAD_PENDING = (
        "reload-pending",
        "A loaded module keeps its parameters until it is reloaded, which requires all guests to be shut down.",
    )
    NOT_EXPLICIT = (
        "not-explicit",
        "nested is not set explicitly; it depends on the kernel default.",
    )
    DEAD_LINE = (
        "dead-line",
        "A configuration line that sets nested is never read, so it has no effect.",
    )
    CONTRADICTED_LINE = (
        "contradicted-line",
        "A configuration line that sets nested is overridden by another.",
    )
    LOAD_BLOCKED = (
        "load-blocked",
        "The configuration prevents the KVM module from loading at boot.",
    )
    LOADED_MANUALLY = (
        "loaded-manually",
        "The KVM module is loaded, and nothing loads it at the next boot: someone loaded it with modprobe.",
    )
    MITIGATION_MISSING = (
        "mitigation-missing",
        "The CPU is vulnerable to attacks from guests, and the kernel does not mitigate them.",
    )
    SHUTDOWN_SAVES_GUESTS = (
        "shutdown-saves-guests",
        "Host shutdown saves guests with their memory, which an L1 with a running L2 may not survive.",
    )
    DEV_KVM_NOT_PERMITTED = (
        "dev-kvm-not-permitted",
        "The account that runs VMs in the guest cannot open /dev/kvm: it is not in the device's group.",
    )
    NO_HYPERVISOR_INSTALLED = (
        "no-hypervisor-installed",
        "No hypervisor that can run VMs under KVM is installed in the guest.",
    )
    LIBVIRT_CAPABILITIES_STALE = (
        "libvirt-capabilities-stale",
        "libvirt's cached QEMU capabilities are stale: they lack the virtualization flag that KVM offers.",
    )
    LIBVIRT_UNREACHABLE = (
        "libvirt-unreachable",
        "libvirt does not respond, so its guests can be neither checked nor managed.",
    )
    DOMAIN_EMULATED = (
        "domain-emulated",
        "The domain is emulated (TCG) instead of running under KVM.",
    )
    FEATURE_DISABLED = (
        "feature-disabled",
        "The domain's CPU definition disables the virtualization flag.",
    )
    HOST_MODEL_DROPS_SVM = (
        "host-model-drops-svm",
        "On AMD, libvirt's host-model omits svm unless the definition requires it explicitly.",
    )
    NAMED_MODEL_LACKS_FLAG = (
        "named-model-lacks-flag",
        "Under KVM a named CPU model has no virtualization flag unless the definition requires it explicitly.",
    )
    WRONG_VENDOR_FEATURE = (
        "wrong-vendor-feature",
        "The domain requires the other CPU vendor's model or virtualization flag.",
    )
    GUEST_HAS_FLAG = (
        "guest-has-flag",
        "A VMM process on the host exposes the virtualization flag to its guest, which the policy forbids.",
    )
    DOMAIN_GIVES_FLAG = (
        "domain-gives-flag",
        "The domain's CPU definition exposes the virtualization flag to its guest, which the policy forbids.",
    )
    POWER_CYCLE_PENDING = (
        "power-cycle-pending",
        "A domain keeps the CPU it was started with until it is shut down and started again; a reboot is not enough.",
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
        "A managed save or a snapshot with memory restores the CPU it was saved with, which lacks the flag.",
    )
    FLAG_NOT_GUARANTEED = (
        "flag-not-guaranteed",
        "The definition lets the domain start without the flag, with no error.",
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
        "This guest is running a nested VM; migrating, saving or rebooting it may corrupt or lose that VM.",
    )
    L2_DOES_NOT_BOOT = (
        "l2-does-not-boot",
        "All prerequisites are met, but a test VM did not boot in the guest.",
    )
    WRONG_GUEST = (
        "wrong-guest",
        "The machine at the guest's address is not the domain named in the inventory.",
    )
    GUEST_KERNEL_LACKS_KVM = (
        "guest-kernel-lacks-kvm",
        "The guest's kernel has no KVM module.",
    )
    HOSTS_DIFFER = (
        "hosts-differ",
        "Hosts between which guests may migrate differ: a guest that nests on one may not on another.",
    )
    ESCAPE_OPEN = (
        "escape-open",
        "The running kernel has a published vulnerability through which a guest can take over or stop its host.",
    )
    ESCAPE_OPEN_AFTER_BOOT = (
        "escape-open-after-boot",
        "The running kernel has a published vulnerability, and the next load of the KVM module opens it to guests.",
    )
    FIXED_KERNEL_NOT_BOOTED = (
        "fixed-kernel-not-booted",
        "A kernel with the fix is installed, but the vulnerable one is still running.",
    )
    L0_UNREACHABLE = (
        "l0-unreachable",
        "The guest's host could not be inspected.",
    )
    L1_UNREACHABLE = (
        "l1-unreachable",
        "The guest could not be inspected from inside.",
    )
    UNDIAGNOSED = (
        "undiagnosed",
        "The host and the definition provide the flag, but the guest does not see it; the evidence shows no cause.",
    )
