"""The digest of a target: cheap readings that differ where what the probe reads has changed.

It is taken before the probe, so that what changes in between shows as a change to a later run.
"""

import json
import re
import secrets
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from nested_kvm.connection import Connection, Settings
from nested_kvm.errors import NotObserved
from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.probe.answer import parse_answer
from nested_kvm.evidence.reading import Reading
from nested_kvm.inventory.target import Target
from nested_kvm.results.incremental import TargetDigest
from nested_kvm.util.text import printable
from nested_kvm.version import VERSION

COVERED_LIBVIRT: Final = "qemu:///system"
"""The only libvirt of which the digest reads the files."""
TOOL: Final = "tool and inventory"
BLIND: Final = "blind"
FILES: Final = "files"
PARTS: Final = (
    "boot",
    "KVM",
    "processes",
    "mounts and sockets",
    "accounts",
    FILES,
    "links and namespaces",
    "kernel log",
)
"""The kinds of readings, as the script names them."""
_PROOFS: Final = {
    "boot": re.compile(r"^/proc/sys/kernel/random/boot_id:[0-9a-f-]{36}$", re.MULTILINE),
    "KVM": re.compile(r"^/proc/sys/kernel/random/boot_id:[0-9a-f-]{36}$", re.MULTILINE),
    "accounts": re.compile(r"^uid=\d"),
    FILES: re.compile(r"^\d+ \d+ \d+ \d+ \d+ [0-9a-f]+ \d+ \d+ \S.* /\Z", re.MULTILINE),
    "links and namespaces": re.compile(r"pid:\[\d+\]"),
    "kernel log": re.compile(r"^kvm \d+\Z", re.MULTILINE),
}
"""What a part holds wherever its programs work: without it nothing is shown to be unchanged."""
_CHANGED: Final = re.compile(r"^(\d{1,19}) \d+ \d+ \d+ \d+ [0-9a-f]+ \d+ \d+ \S.*? (/.*)$", re.MULTILINE)
"""A file: its change time first and its path last."""
_CLOCK: Final = "/proc/self/stat"
"""The file that the reading of the others begins with, and that was made for it."""
_FRESH: Final = 3
"""Seconds: a file that changed less than this before the digest may change once more, and have the same times and size;
FAT keeps the time of every second second only."""


@cache
def digest_script() -> str:
    """The script without its comments; no line of it begins inside quotes or in a here-document."""
    lines = files(__name__).joinpath("digest.sh").read_text(encoding="utf-8").splitlines()
    kept = (line.lstrip(" ") for line in lines)
    return "".join(f"{line}\n" for line in kept if line and not line.startswith("#"))


def take_digest(target: Target, connection: Connection, settings: Settings) -> TargetDigest:
    """Read a target's digest.

    Raises:
        ObservationError: it cannot be had, or would not show every change; the message says why.
    """
    if target.libvirt not in {None, COVERED_LIBVIRT}:
        raise NotObserved(f"the digest does not cover libvirt at {target.libvirt}")
    if target.by_agent:
        raise NotObserved("the digest does not cover what is read through a guest agent")
    nonce = secrets.token_hex(16)
    libvirt = "no" if target.libvirt is None else "yes"
    found = connection.execute(digest_script(), nonce, libvirt, target.account or "")
    answer = parse_answer(found.stdout, nonce)
    if answer.cut is not None:
        raise NotObserved(f"the digest's answer ended in {answer.cut}")
    return digest_of(answer.readings, target, settings)


def digest_of(readings: Mapping[str, Reading], target: Target, settings: Settings) -> TargetDigest:
    """Make the digest of what its script printed.

    Raises:
        NotObserved: it does not show every change.
    """
    texts = {part: _text(readings, part) for part in (*PARTS, BLIND)}
    if texts[BLIND]:
        raise NotObserved(printable(texts[BLIND]))
    unproven = next((part for part, proof in _PROOFS.items() if not proof.search(texts[part])), None)
    if unproven is not None:
        raise NotObserved(f"the digest cannot be read on this machine: {unproven}")
    if any("inary file " in texts[part] for part in PARTS):
        raise NotObserved("a reading of the digest is binary")
    texts[FILES] = _settled(texts[FILES])
    parts = {part: _sha256(texts[part]) for part in PARTS}
    return TargetDigest({**parts, TOOL: _sha256(_tool_and_inventory(target, settings))})


def _settled(listing: str) -> str:
    """Return the files, without the clock before them, if none of them has just changed."""
    clock, _, listed = listing.partition("\n")
    now = _CHANGED.match(clock)
    if now is None or now[2] != _CLOCK:
        raise NotObserved("the digest cannot be read on this machine: its clock")
    limit = int(now[1]) - _FRESH
    fresh = next((path for changed, path in _CHANGED.findall(listed) if int(changed) >= limit), None)
    if fresh is not None:
        raise NotObserved(f"{printable(fresh)} had just changed")
    return listed


def _text(readings: Mapping[str, Reading], part: str) -> str:
    if part not in readings:
        raise NotObserved(f"the digest's answer lacks {part}")
    return readings[part].require().text


def _tool_and_inventory(target: Target, settings: Settings) -> str:
    """What decides how the target is read; its policy does not, as everything is evaluated in each run."""
    address = None if target.address is None else target.address.spec
    tool = (VERSION, probe_script(), digest_script(), settings.sudo, settings.sudo_user)
    declared = (target.name, target.level, address, target.host, target.domain, target.via_host)
    return json.dumps([*tool, *declared, target.libvirt, target.account])


def _sha256(text: str) -> str:
    return sha256(text.encode(errors="replace")).hexdigest()
