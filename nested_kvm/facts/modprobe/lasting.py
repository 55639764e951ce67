"""Whether a file that decides what KVM does is still there after the next boot.

overlay /etc overlay rw,lowerdir=/sysroot/etc,upperdir=/run/overlay/etc.overlay/upper
"""

import re
from dataclasses import dataclass
from posixpath import dirname, join, normpath
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.modprobe.load_outcome import Authority, NextLoad
from nested_kvm.model.verdict import Evidence

_ALWAYS_IN_MEMORY: Final = ("/run/", "/var/run/", "/dev/shm/")  # noqa: S108 - nothing is written there
_MAY_BE_EMPTIED: Final = ("/tmp/",)  # noqa: S108 - nothing is written there
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "rootfs"})
_VOLATILE: Final = re.compile(
    r"(?:^|,)upperdir=(/{1,2}run/(?!live/persistence/|initramfs/)|/tmp/|/dev/shm|/cow\b|/mnt/ram|/tmpfs)"
)
"""Where an overlay keeps what is written, if that is in memory: live systems, and images with a writable /etc.

live-boot mounts a disk for persistence below /run as well, and dracut the one of `rd.live.overlay=`.
"""
_EITHER: Final = re.compile(r"(?:^|,)upperdir=(/media/root-rw/|/cow\b|/run/overlayfs\b)")
"""Where overlayroot, casper and dracut keep it: in memory or on a disk, as the command line shows."""
_ON_A_DISK: Final = re.compile(r"(?:^|\s)(?:persistent|persistence|rd\.(?:live\.)?overlay=|overlayroot=(?!tmpfs))")
_IN_MEMORY_BY_WORD: Final = re.compile(r"(?:^|\s)overlayroot=tmpfs")
_OF_NIXOS: Final = frozenset({"nixos.conf", "systemd.conf", "ubuntu.conf", "debian.conf"})
"""What NixOS makes again at each boot in /etc/modprobe.d, where its root is in memory as well."""
_NOT_KNOWN: Final = "what is mounted at /etc, or where its overlay is kept, is not known"
_GENERATED: Final = {
    "sle-micro-rancher": "Harvester",
    "harvester": "Harvester",
    "k3os": "k3OS",
    "rancheros": "RancherOS",
    "talos": "Talos",
    "cos": "Container-Optimized OS",
    "bottlerocket": "Bottlerocket",
    "boot2docker": "boot2docker",
    "tinycore": "Tiny Core",
}
"""Systems that make /etc again at each boot, by their ID."""


@dataclass(frozen=True, slots=True)
class LastingSettings:
    """The files on which the next load rests and that a boot removes; `unknown` is why that is not known.

    Source: `/proc/self/mounts` of / and /etc, `/etc/os-release`, and what decides the next load.
    """

    relied_upon: tuple[Evidence, ...]
    lost: tuple[Evidence, ...]
    reason: str = ""
    unknown: str = ""
    is_etc_lost: bool = False
    """Whether what is written below /etc is gone after the next boot, also where nothing there decides."""

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The lines on which the next load rests."""
        return self.relied_upon


def lasting_settings_of(bundle: Bundle, next_load: NextLoad, *, is_loaded: bool) -> LastingSettings:
    """Decide by what is mounted at /etc; without its own mount, by the root and the operating system."""
    relied_upon = _relied_upon(next_load, is_loaded=is_loaded)
    places = {item: _place(bundle, item) for item in relied_upon}
    in_memory = tuple(item for item in relied_upon if places[item].startswith(_ALWAYS_IN_MEMORY))
    reason = _why_etc_is_lost(bundle)
    is_lost = bool(reason)
    if in_memory:
        folder = next(each for each in _ALWAYS_IN_MEMORY if places[in_memory[0]].startswith(each)).rstrip("/")
        return LastingSettings(relied_upon, in_memory, f"{folder} is in memory", is_etc_lost=is_lost)
    if any(place.startswith(_MAY_BE_EMPTIED) for place in places.values()):
        why = "a boot may empty /tmp, to which a link leads"
        return LastingSettings(relied_upon, (), unknown=why, is_etc_lost=is_lost)
    in_etc = tuple(
        item for item in relied_upon if item.source.startswith("/etc/") and not _is_made_again(bundle, item.source)
    )
    if not in_etc:
        return LastingSettings(relied_upon, (), is_etc_lost=is_lost)
    if reason is None:
        return LastingSettings(relied_upon, (), unknown=_NOT_KNOWN)
    return LastingSettings(relied_upon, in_etc if reason else (), reason, is_etc_lost=is_lost)


def _place(bundle: Bundle, item: Evidence) -> str:
    """The path of the file that a line is in: what a link leads to, where the file or its folder is one."""
    path = item.source.rpartition(":")[0] or item.source
    folder, name = dirname(path), path.rpartition("/")[2]
    return _target(bundle, join(_target(bundle, folder), name) if _target(bundle, folder) != folder else path)


def _target(bundle: Bundle, path: str) -> str:
    reading = bundle.readings.get(path)
    link = None if reading is None else reading.link
    return path if link is None else normpath(join(dirname(path), link))


def _relied_upon(next_load: NextLoad, *, is_loaded: bool) -> tuple[Evidence, ...]:
    lines = next_load.origin if next_load.authority is Authority.FILE or next_load.never_happens else ()
    return (*lines, *(() if is_loaded else next_load.blacklisting))


def _why_etc_is_lost(bundle: Bundle) -> str | None:
    """Why a file in /etc is gone after a boot; empty: it is not; None: not inspected."""
    mounts = bundle.readings.get(sources.MOUNTS)
    lines = mounts.text.split("\n") if mounts is not None and mounts.is_ok else []
    places = {parts[1]: parts for line in lines if len(parts := line.split()) > 3}  # noqa: PLR2004 - device, place, type, options
    at = places.get("/etc/modprobe.d") or places.get("/etc")
    cmdline = bundle.readings.get(sources.CMDLINE)
    words = cmdline.text if cmdline is not None and cmdline.is_ok else None
    if at is not None:
        return _why_mount_is_lost(at, words)
    by_id = next((_GENERATED[each] for each in _ids(bundle) if each in _GENERATED), None)
    if by_id:
        return f"{by_id} makes /etc again at each boot"
    root = places.get("/")
    if root is not None and root[2] in _IN_MEMORY and _is_kept_elsewhere(bundle):
        return None
    return None if root is None else _why_mount_is_lost(root, words)


def _ids(bundle: Bundle) -> list[str]:
    system = bundle.readings.get(sources.OS_RELEASE)
    text = system.text if system is not None and system.is_ok else ""
    return [each.lower() for each in re.findall(r"^(?:VARIANT_|IMAGE_)?ID=[\"']?([\w.-]+)", text, re.MULTILINE)]


def _is_kept_elsewhere(bundle: Bundle) -> bool:
    """Whether a boot may make files of /etc again, from a place that is not read.

    Alpine's lbu keeps what was committed, and Unraid copies `/boot/config/modprobe.d` of its flash drive.
    """
    release = bundle.readings.get(sources.KERNEL_RELEASE)
    is_unraid = release is not None and release.is_ok and release.text.strip().endswith("-Unraid")
    return is_unraid or "alpine" in _ids(bundle)


def _is_made_again(bundle: Bundle, path: str) -> bool:
    return path.partition(":")[0].rpartition("/")[2] in _OF_NIXOS and "nixos" in _ids(bundle)


def _why_mount_is_lost(parts: list[str], words: str | None) -> str | None:
    place, kind, options = parts[1], parts[2], parts[3]
    if kind in _IN_MEMORY:
        return f"{place} is in memory ({kind})"
    either = _EITHER.search(options) if kind in {"overlay", "aufs", "overlayfs"} else None
    if either is not None and words is not None and _IN_MEMORY_BY_WORD.search(words):
        return f"{place} is an overlay whose changes are kept in memory (overlayroot=tmpfs)"
    if either is not None and (either[1] == "/media/root-rw/" or words is None or _ON_A_DISK.search(words)):
        return None
    found = _VOLATILE.search(options) if kind in {"overlay", "aufs", "overlayfs"} else None
    return "" if found is None else f"{place} is an overlay whose changes are kept in memory, below {found[1]}"
