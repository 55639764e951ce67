"""The kernel's "newc" cpio format, of which an initramfs is made."""

import gzip
import lzma
from collections.abc import Iterable
from pathlib import Path

DIRECTORY, FILE, DEVICE = 0o040755, 0o100755, 0o020600


def archive(entries: Iterable[bytes]) -> bytes:
    """Return a compressed archive of its members."""
    return gzip.compress(b"".join([*entries, entry("TRAILER!!!", 0)]), compresslevel=1)


def unpacked(module: Path) -> bytes:
    """Decompress a module: Debian 13 ships only compressed ones, and busybox's insmod cannot read them."""
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data


def entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """Return one member of a cpio archive in the kernel's "newc" format."""
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return _padded(header) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
