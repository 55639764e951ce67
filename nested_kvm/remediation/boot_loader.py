"""How this machine's next kernel command line is changed: by grub only where grub is what starts it."""

import re
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Status
from nested_kvm.fleet.subject import Subject

_BY_SYSTEM: Final = {
    "talos": (
        "# Talos: {change} in customization.extraKernelArgs of the node's Image Factory schematic, then talosctl",
        "# upgrade to that image; only with GRUB before 1.12: in machine.install.extraKernelArgs of its configuration",
    ),
    "nixos": (
        "# NixOS: in configuration.nix boot.kernelParams: {change}, or boot.extraModprobeConfig for modprobe.d; then:",
        "nixos-rebuild boot",
    ),
    "bottlerocket": (
        "# Bottlerocket: {change} in settings.boot.kernel-parameters (lists of values), by apiclient apply; then:",
        "apiclient reboot",
    ),
    "flatcar": ("# Flatcar: {change} in set linux_append of /oem/grub.cfg (or /usr/share/oem/grub.cfg); then reboot",),
    "cos": (
        "# Container-Optimized OS: {change} on the kernel's command line in efi/boot/grub.cfg of the EFI partition,",
        "# which an update replaces; then reboot",
    ),
}
_IMAGES: Final = {
    "sle-micro-rancher": "Harvester",
    "harvester": "Harvester",
    "sl-micro": "SL Micro",
    "k3os": "k3OS",
    "rancheros": "RancherOS",
}


def change_cmdline(subject: Subject, add: str | None, remove: str | None = None) -> list[str]:
    """The lines that add a word to the next boot's command line, and remove another, or one of them."""
    words = ([f"remove {remove}"] if remove else []) + ([f"add {add}"] if add else [])
    change = " and ".join(words)
    system = _system(subject)
    if system in _BY_SYSTEM:
        return [line.format(change=change) for line in _BY_SYSTEM[system]]
    if system in _IMAGES:
        return [
            f"# {_IMAGES[system]}: {change} in the image's own boot configuration (Harvester: the variable",
            "# third_party_kernel_args of /oem/grubenv; others: their install or cloud configuration); then reboot",
        ]
    return _by_files(subject, change, add, remove)


def _by_files(subject: Subject, change: str, add: str | None, remove: str | None) -> list[str]:
    """By the files of the boot loader that were found, where the system has no other way."""
    if _is_ostree(subject):
        options = [f"--delete-if-present={remove}"] if remove else []
        options += [f"--append-if-missing={add}"] if add else []
        return [f"rpm-ostree kargs {' '.join(options)}  # takes effect at the next boot"]
    if _has(subject, sources.GRUB) or _has_any(subject, sources.GRUB_CFGS):
        places = "/etc/default/grub (and what was read beside it)" if _has(subject, sources.GRUB) else "its grub.cfg"
        return [f"# {change} in {places}, then:", "update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg"]
    if _has(subject, sources.KERNEL_INSTALL):
        return [
            f"# {change} in {sources.KERNEL_INSTALL}, then write the boot entries or the unified kernel image again:",
            "kernel-install add-all || dracut --force --regenerate-all || mkinitcpio -P",
        ]
    if _has(subject, sources.BOOT_ENTRIES):
        return [f"# {change} on the options line of each entry in {sources.BOOT_ENTRIES}; it counts at the next boot"]
    return [
        f"# {change} on the kernel's command line, where this system's boot loader or image keeps it (no file of grub,",
        "# systemd-boot or kernel-install was found here); then reboot",
    ]


def _has(subject: Subject, source: str) -> bool:
    reading = subject.machine.bundle.readings.get(source)
    return (
        reading is not None
        and reading.status in {Status.OK, Status.UNREADABLE}
        and (bool(reading.text.strip()) or reading.status is Status.UNREADABLE)
    )


def _has_any(subject: Subject, paths: tuple[str, ...]) -> bool:
    return any(_has(subject, path) for path in paths)


def _is_ostree(subject: Subject) -> bool:
    reading = subject.machine.bundle.readings.get(sources.CMDLINE)
    return reading is not None and any(word.startswith("ostree=") for word in reading.text.split())


def _system(subject: Subject) -> str:
    """The operating system's ID, of its image's variant before its own."""
    reading = subject.machine.bundle.readings.get(sources.OS_RELEASE)
    text = reading.text if reading is not None and reading.is_ok else ""
    ids = re.findall(r"^((?:VARIANT_|IMAGE_)?ID)=[\"']?([\w.-]+)", text, re.MULTILINE)
    known = [str(value).lower() for _, value in ids]
    for each in known:
        if each in _BY_SYSTEM or each in _IMAGES:
            return each
    release = subject.machine.bundle.readings.get(sources.KERNEL_RELEASE)
    return "talos" if release is not None and release.text.strip().endswith("-talos") else ""
