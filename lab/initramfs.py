"""The lab's own initramfs: busybox, the root disk's modules and a short script; it boots faster than Debian's."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab import cpio
from lab.config import SOURCE

MODULES = {
    "amd": ("virtio_pci", "virtio_blk", "ext4"),
    "intel": ("ata_piix", "sd_mod", "e1000", "virtio_pci", "virtio_blk", "virtio_net", "ext4"),
}
CONSOLE = (5, 1)


def build(root: Path, kernel: str, vendor: str) -> bytes:
    """Return the compressed archive for a kernel version of the image at `root`."""
    return cpio.archive(_entries(root, kernel, vendor))


def _entries(root: Path, kernel: str, vendor: str) -> Iterator[bytes]:
    for directory in ("bin", "dev", "modules"):
        yield cpio.entry(directory, cpio.DIRECTORY)
    yield cpio.entry("dev/console", cpio.DEVICE, device=CONSOLE)
    yield cpio.entry("bin/busybox", cpio.FILE, (root / "bin/busybox").read_bytes())
    for name in ("init", "heartbeat"):
        yield cpio.entry(name, cpio.FILE, (SOURCE / f"initrd-{name}").read_bytes())
    for number, module in enumerate(_modules(root, kernel, vendor)):
        yield cpio.entry(f"modules/{number:02}-{module.name.split('.')[0]}.ko", cpio.FILE, cpio.unpacked(module))


def _modules(root: Path, kernel: str, vendor: str) -> list[Path]:
    """Return the module files in load order, as the image's own kmod resolves their dependencies."""
    found: dict[Path, None] = {}
    for name in MODULES[vendor]:
        command = ["chroot", str(root), "modprobe", "-S", kernel, "--show-depends", name]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            if line.startswith("insmod "):
                found[root / line.split()[1].lstrip("/")] = None
    return list(found)
