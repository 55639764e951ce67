"""Archives that no support tool makes: each is one clear error."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.evaluation import readings_of
from tests.support.sosreports import sos_files, tar_of, xz_of

MACHINE = "amd-passes"
TOP = f"sosreport-{MACHINE}-2026-11-28-abcdefg"


@dataclass(frozen=True)
class Hostile:
    """An archive, and words that its error has to have: what is wrong, and where."""

    make: Callable[[], bytes]
    says: str
    suffix: str = ".tar"


def good() -> dict[str, object]:
    return dict(sos_files(MACHINE, readings_of(MACHINE)[MACHINE]))


def members(*added: tarfile.TarInfo, data: bytes = b"") -> bytes:
    """The tar of a good report, with members of any kind behind its own."""
    buffer = io.BytesIO(tar_of(sos_files(MACHINE, readings_of(MACHINE)[MACHINE])))
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for member in added:
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    return made


def bomb_of_zeros(megabytes: int = 512) -> bytes:
    """A member of zeros, a thousand times larger than its compressed bytes."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0) as packed:
        head = member(f"{TOP}/var/log/messages", size=megabytes * 1024**2)
        packed.write(head.tobuf())
        for _ in range(megabytes // 16):
            packed.write(bytes(16 * 1024**2))
    return out.getvalue()


def many_members(count: int = 250_100) -> bytes:
    out, noise = io.BytesIO(), random.Random(1)  # noqa: S311 - names that do not compress
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as packed:
        for _ in range(count):
            packed.write(member(f"{TOP}/var/{noise.getrandbits(128):x}").tobuf())
        packed.write(bytes(1024))
    return out.getvalue()


def huge_header(size: int) -> bytes:
    """An extended header that claims more bytes than any name has."""
    return members(member(f"{TOP}/././@PaxHeader", tarfile.XHDTYPE, size=size))


def replaced(path: str, content: bytes) -> bytes:
    return tar_of({**sos_files(MACHINE, readings_of(MACHINE)[MACHINE]), f"{TOP}/{path}": content})


def without(*paths: str) -> bytes:
    files = sos_files(MACHINE, readings_of(MACHINE)[MACHINE])
    return tar_of({path: content for path, content in files.items() if not path.endswith(paths)})


def with_wrong_checksum() -> bytes:
    data = bytearray(xz_of(sos_files(MACHINE, readings_of(MACHINE)[MACHINE])))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def large_dictionary() -> bytes:
    """An xz that needs 1.5 GiB of memory to be unpacked."""
    data = lzma.compress(bytes(1024), format=lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    # The dictionary's size is one byte of the block's header, whose checksum is made again.
    header = bytearray(data[12:24])
    place = header.index(0x21) + 2
    header[place] = 0x26 + 3
    size = (header[0] + 1) * 4
    header[size - 4 : size] = zlib.crc32(bytes(header[: size - 4])).to_bytes(4, "little")
    return data[:12] + bytes(header) + data[24:]


PLAIN = tar_of(sos_files(MACHINE, readings_of(MACHINE)[MACHINE]))
HOSTILE = {
    "absolute-name": Hostile(lambda: members(member("/etc/cron.d/evil")), "/etc/cron.d/evil, an absolute path"),
    "leads-out": Hostile(lambda: members(member(f"{TOP}/../../etc/passwd")), "which leads out of it"),
    "device": Hostile(
        lambda: members(
            member(f"{TOP}/proc/cpuinfo2", tarfile.CHRTYPE), member(f"{TOP}/etc/modprobe.d/a.conf", tarfile.CHRTYPE)
        ),
        "a.conf is a device or a FIFO",
    ),
    "fifo": Hostile(
        lambda: members(member(f"{TOP}/etc/modprobe.d/a.conf", tarfile.FIFOTYPE)), "a.conf is a device or a FIFO"
    ),
    "hard-link-out": Hostile(
        lambda: members(member(f"{TOP}/etc/modprobe.d/a.conf", tarfile.LNKTYPE, "/etc/shadow")),
        "/etc/shadow, an absolute path",
    ),
    "hard-link-to-nothing": Hostile(
        lambda: members(member(f"{TOP}/etc/modprobe.d/a.conf", tarfile.LNKTYPE, f"{TOP}/nothing")),
        "which it does not hold",
    ),
    "bomb": Hostile(bomb_of_zeros, "it unpacks to more than 250 times its size", ".tar.gz"),
    "many-members": Hostile(many_members, "it has more than 250000 members", ".tar.gz"),
    "large-file": Hostile(
        lambda: members(member(f"{TOP}/etc/libvirt/qemu.conf", size=17 * 1024**2), data=bytes(17 * 1024**2)),
        "qemu.conf has more than 8 MiB",
    ),
    "huge-name": Hostile(lambda: members(member(f"{TOP}/{'n' * 5000}")), "a name in it has more than 4096 bytes"),
    "huge-extended-header": Hostile(lambda: huge_header(700 * 1024**2), "a header of it claims"),
    "deep": Hostile(lambda: members(member(f"{TOP}/{'d/' * 100}f")), "folders in one another, more than 64"),
    "control-characters": Hostile(
        lambda: members(member(f"{TOP}/etc/modprobe.d/a\x1b]0;x\x07\n.conf")), "has control characters"
    ),
    "twice": Hostile(lambda: members(member(f"{TOP}/proc/cmdline")), "proc/cmdline twice"),
    "sparse": Hostile(
        lambda: members(member(f"{TOP}/etc/libvirt/qemu.conf", tarfile.GNUTYPE_SPARSE)), "is a sparse file"
    ),
    "cut-in-a-file": Hostile(lambda: PLAIN[: len(PLAIN) // 2], "cut while it was copied"),
    "cut-between-files": Hostile(
        lambda: PLAIN.rstrip(b"\0") + bytes(-len(PLAIN.rstrip(b"\0")) % 512), "without the end of a tar"
    ),
    "cut-xz": Hostile(
        lambda: xz_of(sos_files(MACHINE, readings_of(MACHINE)[MACHINE]))[:-40], "cut while it was copied", ".tar.xz"
    ),
    "cut-gzip": Hostile(lambda: gzip.compress(PLAIN, mtime=0)[:-9], "cut while it was copied", ".tar.gz"),
    "wrong-checksum": Hostile(with_wrong_checksum, "its xz data is broken", ".tar.xz"),
    "no-tar-inside": Hostile(
        lambda: lzma.compress(b"no tar at all" * 1000), "it is not a complete tar in xz", ".tar.xz"
    ),
    "empty": Hostile(lambda: b"", "it is not a complete tar"),
    "encrypted": Hostile(lambda: b"\x85\x02\x0c" + bytes(900), "encrypted with PGP: decrypt it first", ".tar.xz"),
    "zip": Hostile(lambda: b"PK\x03\x04" + bytes(900), "it is zip: unpack it", ".tar.xz"),
    "zstd": Hostile(lambda: b"\x28\xb5\x2f\xfd" + bytes(900), "zstd -d", ".tar.zst"),
    "another-kind": Hostile(lambda: tar_of({"backup/etc/passwd": "root"}), "nothing in it says so"),
    "no-host-name": Hostile(lambda: without("hostname", "uname_-a"), "does not name its machine"),
    "hostile-host-name": Hostile(
        lambda: replaced("sos_commands/host/hostname", b"a\x1b[31m/../b\n"), "does not name its machine"
    ),
    "no-such-date": Hostile(
        lambda: replaced("sos_commands/date/date_--utc", b"Sat Nov 99 21:15:07 UTC 2026\n"),
        "its date is not a valid one",
    ),
    "broken-manifest": Hostile(
        lambda: replaced("sos_reports/manifest.json", b"[" * 100_000), "manifest.json is not the one that sos writes"
    ),
    "needs-much-memory": Hostile(large_dictionary, "its xz data is broken", ".tar.xz"),
    "bzip2-of-noise": Hostile(lambda: bz2.compress(b"x" * 5000)[:-3] + b"xyz", "its bzip2 data is broken", ".tar.bz2"),
}
