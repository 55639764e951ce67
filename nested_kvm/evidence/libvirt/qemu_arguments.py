"""The arguments that `<qemu:commandline>` passes to QEMU, reduced to those that may decide the guest's CPU.

    <qemu:arg value='-global'/><qemu:arg value='cpu.svm=on'/>

libvirt does not interpret them, so they may add or remove the flag whatever `<cpu>` says. A value is kept only where it
describes a CPU; of any other argument that is not known to be harmless the name is kept, or `-other`.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

OTHER: Final = "-other"
"""Stands for an argument that is not known: even its name may be private."""
_NAMED: Final = frozenset({"M", "accel", "icount", "incoming", "loadvm", "machine", "readconfig"})
"""The options that may change the CPU or the accelerator, kept by name."""
_HARMLESS: Final = frozenset({
    "D", "L", "S", "acpitable", "action", "add-fd", "alt-grab", "append", "audio", "audiodev", "balloon", "bios",
    "blockdev", "boot", "cdrom", "chardev", "chroot", "compat", "ctrl-grab", "d", "daemonize", "debugcon", "display",
    "drive", "dtb", "fda", "fdb", "fsdev", "full-screen", "fw_cfg", "gdb", "hda", "hdb", "hdc", "hdd", "initrd",
    "iscsi", "k", "kernel", "m", "mem-path", "mem-prealloc", "mon", "monitor", "msg", "name", "net", "netdev", "nic",
    "no-acpi", "no-hpet", "no-reboot", "no-shutdown", "no-user-config", "nodefaults", "nographic", "numa", "option-rom",
    "overcommit", "parallel", "pflash", "pidfile", "plugin", "qmp", "rtc", "run-with", "runas", "s", "sandbox",
    "serial", "show-cursor", "smbios", "smp", "snapshot", "soundhw", "spice", "tpmdev", "trace", "usb", "usbdevice",
    "uuid", "vga", "virtfs", "vnc", "watchdog", "watchdog-action", "writeconfig",
})  # fmt: skip
"""The options of qemu-options.hx that change neither the CPU nor the accelerator."""
_DRIVER: Final = re.compile(r"(?:driver=)?([A-Za-z0-9_+-]+)[.,]")
_ONLY_KVM: Final = re.compile(r"(accel=)?kvm(,.*)?", re.DOTALL)
_ENCRYPTION_IN_JSON: Final = re.compile(r"\"(sev|tdx|s390-pv|pef|snp)")
_ENCRYPTION: Final = re.compile(r"(?:qom-type=)?((?:sev|tdx|s390-pv|pef|snp)[a-z0-9-]*)", re.ASCII)


def deciding_arguments(values: Sequence[str], *, under_kvm: bool = True) -> Iterator[str]:
    """The arguments that may decide the CPU; everything that starts with a dash is read as an option.

    A domain that is `under_kvm` is not changed by asking for KVM once more.
    """
    for argument, value in zip_longest(values, values[1:], fillvalue=""):
        option = argument[2:] if argument.startswith("--") else argument[1:]
        asks_for_kvm = option == "enable-kvm" or (option == "accel" and _ONLY_KVM.fullmatch(value) is not None)
        is_harmless = under_kvm if asks_for_kvm else _is_harmless(option, value)
        if argument.startswith("-") and not is_harmless:
            yield from _kept(option, value)


def cpu_of_global(value: str) -> str | None:
    """The CPU type whose property a `-global` sets, such as `cpu` in `cpu.svm=on`; None: it is another device's."""
    found = _DRIVER.match(value)
    driver = found[1] if found else ""
    return driver if driver == "cpu" or driver.endswith("-cpu") else None


def _kept(option: str, value: str) -> Iterator[str]:
    encryption = _ENCRYPTION.match(value) if option == "object" else None
    if option == "cpu" and not value.startswith("-"):
        yield from ("-cpu", value)
    elif option == "global" and cpu_of_global(value) is not None:
        yield from ("-global", value)
    elif encryption is not None:
        yield from ("-object", encryption[1])
    else:
        yield f"-{option}" if option in _NAMED else OTHER


def _is_harmless(option: str, value: str) -> bool:
    if option == "device":
        return "-cpu" not in value
    if option == "global":
        found = _DRIVER.match(value)
        return found is not None and not found[1].endswith(("cpu", "accel"))
    if option == "object":
        return _ENCRYPTION.match(value) is None and _ENCRYPTION_IN_JSON.search(value) is None
    if option == "set":
        return value.startswith("device.")
    return option in _HARMLESS
