"""The lab's own initramfs: busybox, the root disk's modules and a short script; it boots faster than Debian's."""

import gzip
import lzma
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.config import SOURCE

MODULES = {
    "amd": ("virtio_pci", "virtio_blk", "ext4"),
    "intel": ("ata_piix", "sd_mod", "e1000", "virtio_pci", "virtio_blk", "virtio_net", "ext4"),
}
DIRECTORY, FILE, DEVICE = 0o040755, 0o100755, 0o020600
CONSOLE = (5, 1)


def build(root: Path, kernel: str, vendor: str) -> bytes:
    """Return the compressed archive for a kernel version of the image at `root`."""
    archive = b"".join(_entries(root, kernel, vendor)) + _entry("TRAILER!!!", 0)
    return gzip.compress(archive, compresslevel=1)


def _entries(root: Path, kernel: str, vendor: str) -> Iterator[bytes]:
    for directory in ("bin", "dev", "modules"):
        yield _entry(directory, DIRECTORY)
    yield _entry("dev/console", DEVICE, device=CONSOLE)
    yield _entry("bin/busybox", FILE, (root / "bin/busybox").read_bytes())
    for name in ("init", "heartbeat"):
        yield _entry(name, FILE, (SOURCE / f"initrd-{name}").read_bytes())
    for number, module in enumerate(_modules(root, kernel, vendor)):
        yield _entry(f"modules/{number:02}-{module.name.split('.')[0]}.ko", FILE, _unpacked(module))


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


def _unpacked(module: Path) -> bytes:
    """Decompress a module: Debian 13 ships only compressed ones, and busybox's insmod cannot read them."""
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data


def _entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """Return one member of a cpio archive in the kernel's "newc" format."""
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return _padded(header) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
