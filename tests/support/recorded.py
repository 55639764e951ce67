"""Evidence of machines that cannot be had, written as a run writes it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nested_kvm.evidence.bundle import Bundle, LibvirtAnswer
from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.version import VERSION
from tests.support.scenario import base, reading

KERNEL = "6.1.0-56-cloud-amd64"
HOST: Mapping[str, str] = {
    "uname -m": "x86_64",
    "id -u": "0",
    "/proc/sys/kernel/osrelease": KERNEL,
    "/proc/cmdline": "root=/dev/vda1 ro quiet",
    "/proc/cpuinfo": "processor : 0\nvendor_id : AuthenticAMD\ncpu family : 25\nmodel : 1\nflags : fpu lm svm npt",
    "/sys/module": "kvm\nkvm_amd",
    "/sys/module/kvm": "initstate=live\nrefcnt=1",
    "/sys/module/kvm/parameters": "",
    "/sys/module/kvm_amd": "initstate=live\nrefcnt=0",
    "/sys/module/kvm_amd/parameters": "nested=1\nnpt=Y",
    "/dev/kvm": "crw-rw---- 1 0 106 10, 232 Nov 21 00:11 /dev/kvm",
    "/etc/modprobe.d": "kvm.conf",
    "/etc/modprobe.d/kvm.conf": "options kvm_amd nested=1",
    "modprobe --version": "kmod version 30",
    "modprobe --show-depends kvm_amd": (
        f"insmod /lib/modules/{KERNEL}/kernel/arch/x86/kvm/kvm.ko\n"
        f"insmod /lib/modules/{KERNEL}/kernel/arch/x86/kvm/kvm-amd.ko nested=1"
    ),
    "modinfo --parameters kvm_amd": "nested:Nesting virtualization (int)",
    "/sys/class/dmi/id/sys_vendor": "Example",
    "/sys/class/dmi/id/product_name": "Server 1",
    "/sys/class/dmi/id/product_uuid": "2a845d3e-16b2-4ad8-a3b3-28c6c445cc8f",
    "dmesg": "kvm: Nested Virtualization enabled",
}
"""A host on AMD that complies; what it does not say is the base's."""
SAVES_GUESTS: Mapping[str, str] = {"/etc/libvirt/qemu.conf": 'auto_shutdown_try_save = "persistent"'}
"""What gives a host one finding of severity high, L0-OPS-01, and nothing else."""
ABSENT = ("/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")


def record(
    folder: Path,
    name: str,
    *,
    readings: Mapping[str, str | Reading] | None = None,
    refusal: str | None = None,
    policy: Policy | None = None,
) -> Path:
    """Write the evidence of a host like `HOST`, but for what is given, and return the file."""
    folder.mkdir(exist_ok=True)
    found = {source: reading(source, given) for source, given in base("amd-l0").readings.items()}
    found |= {source: Reading(source, Status.ABSENT) for source in ABSENT}
    for source, said in {**HOST, **(readings or {})}.items():
        is_command = not source.startswith("/")
        found[source] = (
            replace(said, source=source)
            if isinstance(said, Reading)
            else Reading(source, Status.OK, said, 0 if is_command else None)
        )
    address = Address.parse(f"ssh://root@{name}.example.net")
    target = Target(name, TargetLevel.L0, address, policy or Policy(), libvirt="qemu:///system")
    types = {"x86_64": ("qemu", "kvm")}
    answer = LibvirtAnswer("qemu:///system", "libvirt", refusal=refusal, domain_types=types, version=9_000_000)
    return write_bundle(folder, Bundle(target, datetime.now(UTC), VERSION, found, libvirt=answer))
