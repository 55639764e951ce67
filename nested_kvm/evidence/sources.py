"""The sources of evidence that the probe prints, each named once: a path, a command line, or words for a listing."""

from typing import Final

ARCHITECTURE: Final = "uname -m"
ACCOUNT: Final = "id"
ACCOUNT_NUMBER: Final = "id -u"
"""Printed by earlier probes in place of `id`."""
CMDLINE: Final = "/proc/cmdline"
CPUINFO: Final = "/proc/cpuinfo"
KERNEL_RELEASE: Final = "/proc/sys/kernel/osrelease"
KERNEL_VERSION: Final = "/proc/sys/kernel/version"
KERNEL_LOG: Final = "dmesg"
LIVE_PATCHES: Final = "/sys/kernel/livepatch"
"""Each live patch has a folder there: `/sys/kernel/livepatch/<name>`."""
CHANGELOGS: Final = ("gzip -dc /usr/share/doc/linux-", "rpm -qf --changelog ")
"""How the command begins whose answer is the changelog of the running kernel's package."""
DMI: Final = "/sys/class/dmi/id"
NAMESPACES: Final = "ls -l /proc/self/ns"
FIRST_THREAD: Final = "ps -p 2"
"""The process 2 in a support archive's list of all processes: `kthreadd`, which no container sees."""
MODULES: Final = "/sys/module"
MODULE_TREES: Final = "/lib/modules"
"""The kernels that have an index of their modules there, one a line."""
VULNERABILITIES: Final = "/sys/devices/system/cpu/vulnerabilities"

MOUNTS: Final = "/proc/self/mounts"
"""Those of / and /etc."""
OS_RELEASE: Final = "/etc/os-release"
"""Its ids: the operating system, and an image's variant."""
PAGE_TABLES: Final = "/proc/sys/vm/allocate_pgste"
"""Printed on s390x, which alone has it."""
UDEV_RULES: Final = "udev rules of kvm"
"""The lines of udev's rules that name the device, each with its file."""
CLOUD_HYPERVISOR: Final = "cloud-hypervisor --version"
"""Printed where it is in PATH."""
MODPROBE_VERSION: Final = "modprobe --version"
EVERY_MODULE: Final = "modinfo of every module"
"""The names, dependencies and parameters of the modules that `modprobe --show-depends` names."""

GRUB: Final = "/etc/default/grub"
GRUB_D: Final = "/etc/default/grub.d"
GRUBENV: Final = "/boot/grub2/grubenv"
BOOT_ENTRIES: Final = "/boot/loader/entries"
KERNEL_INSTALL: Final = "/etc/kernel/cmdline"
GRUB_CFGS: Final = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")
"""Printed where they exist."""
ESP_ENTRIES: Final = ("/efi/loader/entries", "/boot/efi/loader/entries")
"""The folders of entries of which each is printed where it exists."""
ESP_IMAGES: Final = "ESP kernel images"

DEV_KVM: Final = "/dev/kvm"
GETFACL: Final = "getfacl -cnp /dev/kvm"
DEBUGFS: Final = "/sys/kernel/debug/kvm"
VMM_PROCESSES: Final = "/proc/[0-9]*/cmdline"
VM_HOLDERS: Final = "ls -lq /proc/[0-9]*/fd"
HYPERVISORS: Final = "virtual machine monitors"
AGAIN: Final = "  # again"
"""Ends the name of a source that is read a second time, a second later."""

LIBVIRT_CACHE: Final = "/var/cache/libvirt/qemu/capabilities"
LIBVIRT_GUESTS: Final = "systemctl is-enabled libvirt-guests"
LIBVIRT_GUESTS_SETTINGS: Final = ("/etc/default/libvirt-guests", "/etc/sysconfig/libvirt-guests")
LIBVIRT_GUESTS_SCRIPTS: Final = ("/usr/lib/libvirt/libvirt-guests.sh", "/usr/libexec/libvirt-guests.sh")
QEMU_CONF: Final = "/etc/libvirt/qemu.conf"


def show_depends(module: str) -> str:
    """The command that asks kmod what loading the module would do."""
    return f"modprobe --show-depends {module}"


def module_parameters(module: str) -> str:
    """The command that prints the types of a module's parameters."""
    return f"modinfo --parameters {module}"


def account(name: str) -> str:
    """The command that prints the ids of an account."""
    return f"id {name}"


def group(name: str) -> str:
    """The command that prints the members of a group."""
    return f"getent group {name}"


def changed_at(path: str) -> str:
    """The command that prints when a file's inode last changed."""
    return f"stat -L -c %Z {path}"


def debugfs_again() -> str:
    """The second reading of KVM's counters."""
    return f"{DEBUGFS}{AGAIN}"
