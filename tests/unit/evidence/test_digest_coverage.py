"""A source that is added to the probe has to be added to the digest too, or cannot change while the machine runs."""

import re
from importlib.resources import files

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.digest import PARTS
from nested_kvm.evidence.probe import readable_probe

SCRIPT = files("nested_kvm.evidence.digest").joinpath("digest.sh").read_text(encoding="utf-8")
AT_BOOT = "does not change while booted: the boot's id covers it"
ELSEWHERE = "not read on a live machine"
COVERED: dict[str, tuple[str, ...]] = {
    "ARCHITECTURE": (AT_BOOT,),
    "ACCOUNT": ("\n    id 2>&1",),
    "ACCOUNT_NUMBER": (ELSEWHERE,),
    "CMDLINE": ("/proc/cmdline",),
    "CPUINFO": (AT_BOOT, "/sys/devices/system/cpu/online", "/sys/devices/system/cpu/cpu0/microcode/version"),
    "KERNEL_RELEASE": ("/proc/sys/kernel/osrelease",),
    "KERNEL_VERSION": ("/proc/sys/kernel/version",),
    "KERNEL_LOG": ("{ dmesg 2>&1;",),
    "LIVE_PATCHES": ("/sys/kernel/livepatch/*/*", "/sys/kernel/livepatch/*/parameters/*"),
    "CHANGELOGS": ("/usr/share/doc/linux-[im]*", "/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/vmlinuz"),
    "DMI": tuple(f"/sys/class/dmi/id/{name}" for name in ("sys_vendor", "product_name", "product_uuid")),
    "NAMESPACES": ("/proc/self/ns/*",),
    "FIRST_THREAD": (ELSEWHERE,),
    "MODULES": ("/sys/module/kvm*", "/sys/module/vbox*", "/sys/module/vmmon*"),
    "MODULE_TREES": ("/lib/modules/*/modules.dep",),
    "VULNERABILITIES": tuple(f"/sys/devices/system/cpu/vulnerabilities/{name}" for name in ("itlb_multihit", "l1tf")),
    "MOUNTS": ("/proc/self/mounts",),
    "OS_RELEASE": ("/etc/os-release",),
    "PAGE_TABLES": ("/proc/sys/vm/allocate_pgste",),
    "UDEV_RULES": ("/*/udev/rules.d/*", "/*/lib/udev/rules.d/*", "/*/modules-load.d/*", "/etc/modules", "/etc/group"),
    "CLOUD_HYPERVISOR": ("cloud-hypervisor",),
    "MODPROBE_VERSION": ("programs='modprobe",),
    "EVERY_MODULE": ('"/lib/modules/$release"/modules.*', 'depends_on "', "modinfo"),
    "GRUB": ("/etc/default/grub ",),
    "GRUB_D": ("/etc/default/grub.d/*",),
    "GRUBENV": ("/boot/grub2/grubenv",),
    "BOOT_ENTRIES": ("/boot/loader/entries/*",),
    "KERNEL_INSTALL": ("/etc/kernel/cmdline",),
    "GRUB_CFGS": ("/boot/grub*/grub.cfg",),
    "ESP_ENTRIES": ("/efi/loader/entries/*", "/boot/efi/loader/entries/*"),
    "ESP_IMAGES": ("/boot/EFI/Linux/*", "/efi/EFI/Linux/*", "/boot/efi/EFI/Linux/*", "/run/ostree/staged-d*"),
    "DEV_KVM": ("/dev/kvm ",),
    "GETFACL": ("/dev/kvm ", "getfacl"),
    "DEBUGFS": ('"$debugfs"/[0-9]*-[0-9]*/nested_run', '"$debugfs"/[0-9]*-[0-9]*/vcpu[0-9]*/guest_mode'),
    "VMM_PROCESSES": ("/proc/[0-9]*/cmdline", "/run/incus/*/qemu.conf"),
    "VM_HOLDERS": ('started "${vm%%-*}"', "kvm_is_used && ! can_list"),
    "HYPERVISORS": ("qemu-system-x86_64", "openvmm", "krunvm", "/usr/libexec/qemu-kvm"),
    "AGAIN": (ELSEWHERE,),
    "LIBVIRT_CACHE": ("/var/cache/libvirt/qemu/capabilities/*", "<emulator>"),
    "LIBVIRT_GUESTS": ("/*/systemd/*/libvirt-guests.*", "/*/systemd/*/*.wants/libvirt-guests.*", "systemctl"),
    "LIBVIRT_GUESTS_SETTINGS": ("/etc/default/libvirt-guests", "/etc/sysconfig/libvirt-guests"),
    "LIBVIRT_GUESTS_SCRIPTS": ("/usr/lib/libvirt/libvirt-guests.sh", "/usr/libexec/libvirt-guests.sh"),
    "QEMU_CONF": ("/etc/libvirt/*.conf",),
    "show_depends": ("/etc/modprobe.d/*", '"/lib/modules/$release"/modules.*'),
    "module_parameters": ('depends_on "',),
    "account": ('id "$account"',),
    "group": ('getent group "$group"', "/etc/group"),
    "changed_at": ("<emulator>",),
    "debugfs_again": ('"$debugfs"/[0-9]*-[0-9]*/nested_run',),
}
"""What of the digest's script shows that each source of `sources.py` is unchanged."""
NOT_FILES = {
    "/?hostCPU",
    "/CVE-202[6-9]",
    "/KVM/",
    "/*.ko",
    "/*.ko.*",
    "/driver.*-cpu/",
    "/emulator",
    "/linux-image-[0-9]/",
}
"""Parts of the probe's patterns that only seem to be paths."""
OTHERWISE = {
    "/proc/cpuinfo": AT_BOOT,
    "/proc/[0-9]*/fd": "each VM is in debugfs with its process; without that there is no digest",
    "/proc/1/fd": "the same",
    "/proc/1/fd/*": "the same",
    "/fd": "the same",
    "/proc/self/ns/mnt": "in /proc/self/ns/*",
    "/proc/sys/kernel/random/uuid": "the nonce",
    "/usr/share/qemu-server/": "cut off a name, never read",
}
"""Paths of the probe of which the digest's script has no such word, and why it need not."""
READ: tuple[tuple[str, str], ...] = (
    (r"uname -m|/proc/cpuinfo", AT_BOOT),
    (r"id( .*)?|getent group .*", "accounts"),
    (r"/proc/(cmdline|sys/.*)|/sys/class/dmi/.*|/sys/devices/.*", "boot"),
    (r"dmesg", "kernel log"),
    (r"/sys/(module|kernel)(/.*)?", "KVM"),
    (r"ls -lq /proc/\[0-9\]\*/fd", "KVM"),
    (r"/proc/\[0-9\]\*/cmdline", "processes"),
    (r"ls -l /proc/self/ns", "links and namespaces"),
    (r"/proc/self/mounts", "mounts and sockets"),
    (r"/(etc|run|usr|lib|boot|efi|var|dev)/.*", "files"),
    (r"getfacl -cnp /dev/kvm|udev rules of kvm|ESP kernel images|virtual machine monitors", "files"),
    (r"(modprobe|modinfo|systemctl is-enabled|stat -L -c %Z|cloud-hypervisor|gzip -dc|rpm -qf) .*", "files"),
)
"""Which part of the digest covers a reading, by its source."""


def named() -> list[str]:
    return sorted(name for name in vars(sources) if not name.startswith("_") and name != "Final")


def covering(source: str) -> str | None:
    """Return the part of the digest that covers a reading; None: there is none yet."""
    return next((part for pattern, part in READ if re.fullmatch(pattern, source)), None)


def paths_of_the_probe() -> set[str]:
    code = "".join(line for line in readable_probe().splitlines(keepends=True) if not line.lstrip().startswith("#"))
    return set(re.findall(r"(?<![\w$}\"'])/(?:[\w.*?\[\]-]+/?)+", code))


def test_every_source_is_covered_or_named_as_one_that_cannot_change() -> None:
    assert sorted(COVERED) == named(), "name the words of digest.sh that show a change of the new source"


@pytest.mark.parametrize("name", COVERED)
def test_the_script_reads_what_covers_a_source(name: str) -> None:
    assert [word for word in COVERED[name] if word not in {AT_BOOT, ELSEWHERE} and word not in SCRIPT] == []


def test_every_path_of_the_probe_is_one_of_the_digests() -> None:
    paths = paths_of_the_probe()
    missing = {path for path in paths - NOT_FILES if path not in SCRIPT and path.rstrip("/*") not in SCRIPT}
    assert missing == set(OTHERWISE), "cover the new path in digest.sh"
    assert paths > NOT_FILES


def test_programs_and_patterns_are_the_probes() -> None:
    code = readable_probe()
    monitors = re.search(r"for program in (.*?);", code.replace("\\\n", ""), re.DOTALL)
    assert monitors is not None
    assert [each for each in monitors[1].split() if each not in re.split(r"[\s']", SCRIPT)] == []
    assert "qemu-system-|(qemu-|l)?kvm|cloud-hyp|firecr|crosvm|strato|openvmm|krun)" in code
    assert "qemu-system-|(qemu-|l)?kvm|cloud-hyp|firecr|crosvm|strato|openvmm|krun)" in SCRIPT
    assert 'p="kvm|svm|vmx|vboxdrv|vmmon|encryption f"' in code
    assert "grep -iE 'kvm|svm|vmx|vboxdrv|vmmon|encryption f'" in SCRIPT


def test_every_part_is_one_that_the_script_prints() -> None:
    printed = re.findall(r"^    begin ('[^']*'|\w+)", SCRIPT, re.MULTILINE)
    assert {each.strip("'") for each in printed} == {*PARTS, "blind"}
    assert {part for _, part in READ} <= {*PARTS, AT_BOOT}
