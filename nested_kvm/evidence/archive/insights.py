"""An archive of the Red Hat Insights client, packed or not.

Its files are copies below `data/`, outputs of commands below `data/insights_commands/`; older clients have both at the
top. Facts about what is collected: insights-core's insights/specs/default.py. It copies nothing of /sys/module.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from nested_kvm.errors import ArchiveUnusable
from nested_kvm.evidence import sources
from nested_kvm.evidence.archive import texts
from nested_kvm.evidence.archive.copied_files import CopiedFiles, decoded, only_lines
from nested_kvm.evidence.archive.libvirt_files import LibvirtFiles
from nested_kvm.evidence.archive.machine import LIBVIRT_URI, ArchivedMachine
from nested_kvm.evidence.archive.tree import ArchiveTree
from nested_kvm.evidence.reading import Reading, Status

KIND: Final = "Insights archive"
SCHEME: Final = "insights"
TOOL: Final = "insights-client"
_COMMANDS: Final = "insights_commands"
WANTED: Final = re.compile(
    r"""^(?:[^/]+/){0,2}(?:
    insights_commands/(?:uname_-a|hostname(?:_-f)?|date_--utc|dmesg|dmidecode|lsmod|ls_-lanR_\.dev|ps_auxww|mount
        | virsh_--readonly_list_--all|systemctl_list-unit-files)
    | etc/modprobe\.d/[^/]+ | proc/(?:cmdline|cpuinfo) | (?:etc|usr/lib)/os-release | boot/grub2?/grub\.cfg
    | sys/devices/system/cpu/vulnerabilities/[^/]+ | etc/sysconfig/libvirt-guests | etc/libvirt/qemu\.conf
    | etc/libvirt/qemu/[^/]+\.xml
    )$""",
    re.VERBOSE | re.DOTALL,
)


def root_of(tree: ArchiveTree) -> str | None:
    """The folder of the archive's files; None: it is not of the Insights client."""
    for path in tree.files:
        found = re.match(rf"((?:[^/]+/){{0,2}}){_COMMANDS}/", path)
        if found:
            return found[1].removesuffix("/")
    return None


def machine_of(tree: ArchiveTree, root: str) -> ArchivedMachine:
    """The machine of an archive.

    Raises:
        ArchiveUnusable: it does not show the machine's name, or when it was made.
    """
    files = CopiedFiles(tree, root, TOOL, lambda _: False)
    name = texts.node_of_uname(_command(files, "uname_-a")) or _command(files, "hostname_-f").strip()
    if not re.fullmatch(r"[\w.-]{1,253}", name, re.ASCII):
        raise ArchiveUnusable("it does not name its machine: neither hostname nor uname -a is in it")
    return ArchivedMachine(
        name, _time(files), KIND, TOOL, list(_readings(files)), _libvirt(files).answer(), scheme=SCHEME
    )


def _command(files: CopiedFiles, name: str) -> str:
    reading = files.found(f"/{_COMMANDS}/{name}")
    return reading.text if reading is not None and reading.is_ok else ""


def _time(files: CopiedFiles) -> datetime:
    time = texts.utc_time(_command(files, "date_--utc"))
    if time is None:
        known = [each for path, each in files.tree.times.items() if f"{_COMMANDS}/" in path]
        time = max(known) if known else None
    if time is None:
        raise ArchiveUnusable("it does not show when it was made: there is no `date --utc` in it")
    return time.astimezone(UTC)


def _readings(files: CopiedFiles) -> Iterator[Reading]:
    yield from texts.of_uname(_command(files, "uname_-a"))
    yield Reading(sources.ACCOUNT, Status.OK, "uid=0(root) gid=0(root) groups=0(root)", 0)  # The client refuses others.
    yield files.reading(sources.CMDLINE)
    yield only_lines(files.reading(sources.CPUINFO), texts.CPU_LINES)
    yield from texts.of_dmesg(_command(files, "dmesg"))
    yield from texts.of_lsmod(_command(files, "lsmod"))
    yield texts.unknown_live_patches(TOOL)
    mounts = list(texts.of_mount(_command(files, "mount")))
    yield from mounts
    is_machine = any(texts.is_root_of_machine(each.text) for each in mounts)
    processes = texts.of_ps(_command(files, "ps_auxww"), TOOL)
    yield from (each for each in processes if is_machine or each.source != sources.FIRST_THREAD)
    device = texts.of_dev_listing(_command(files, "ls_-lanR_.dev"))
    if device is not None:
        yield device
    yield from files.listed("/etc/modprobe.d")
    yield from texts.of_dmidecode(_command(files, "dmidecode"))
    for name in ("itlb_multihit", "l1tf"):
        yield files.reading(f"{sources.VULNERABILITIES}/{name}")
    yield only_lines(files.reading(sources.OS_RELEASE), texts.OS_RELEASE_LINES)
    for path in sources.GRUB_CFGS:
        yield only_lines(files.reading(path), texts.GRUB_CFG_LINES)
    yield only_lines(files.reading(sources.QEMU_CONF), texts.QEMU_CONF_LINES)
    yield only_lines(files.reading("/etc/sysconfig/libvirt-guests"), texts.SHUTDOWN_LINES)
    units = texts.of_unit_files(_command(files, "systemctl_list-unit-files"))
    if units is not None:
        yield units


def _libvirt(files: CopiedFiles) -> LibvirtFiles:
    """The definitions; what runs is shown by name only."""
    names = files.names("/etc/libvirt/qemu")
    found = {name: files.found(f"/etc/libvirt/qemu/{name}") for name in names}
    listing = files.found(f"/{_COMMANDS}/virsh_--readonly_list_--all")
    return LibvirtFiles(
        tool=TOOL,
        uri=LIBVIRT_URI,
        definitions={name: each.text.encode() for name, each in found.items() if each is not None and each.is_ok},
        statuses=None,
        listing=None if listing is None or not listing.is_ok else decoded(listing.text.encode()),
    )
