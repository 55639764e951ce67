"""A sosreport: `sos report` of the sos project, packed or not.

Its files are copies below a folder named for the host, outputs of commands below `sos_commands/<plugin>/`. Facts about
what is copied: sos's report/plugins/{kernel,processor,hardware,grub2,libvirt,virsh,process,block,host,date}.py.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nested_kvm.errors import ArchiveUnusable
from nested_kvm.evidence import sources
from nested_kvm.evidence.archive import texts
from nested_kvm.evidence.archive.copied_files import CopiedFiles, decoded, only_lines
from nested_kvm.evidence.archive.kmod import ASKED, ModuleIndex, index_of_modinfo, index_of_modules_dep
from nested_kvm.evidence.archive.libvirt_files import LibvirtFiles
from nested_kvm.evidence.archive.machine import LIBVIRT_URI, ArchivedMachine
from nested_kvm.evidence.archive.tree import ArchiveTree
from nested_kvm.evidence.bundle import LibvirtAnswer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.util.text import printable

KIND: Final = "sosreport"
WANTED: Final = re.compile(
    r"""^(?:[^/]+/)?(?:
    version\.txt | sos_reports/manifest\.json | date | hostname | uname | dmidecode | ps | mount
    | sos_commands/(?:date/date[^/]* | host/hostname | kernel/(?:uname_-a|dmesg|modinfo_[^/]*)
        | process/(?:ps_auxwww|lsof[^/]*) | (?:block|devices)/ls_[^/]*\.dev | hardware/dmidecode | filesys/mount_-l
        | virsh/virsh_-r_(?:list_--all|capabilities|dumpxml_[^/]*|dominfo_[^/]*) | libvirt/ls_-lR_[^/]*
        | systemd/systemctl_list-unit-files)
    | (?:usr/(?:local/)?)?(?:lib|etc|run)/modprobe\.d/[^/]+ | (?:usr/)?lib/modules/[^/]+/modules\.dep
    | proc/(?:cmdline|cpuinfo|mounts|self/mounts)
    | sys/module/(?:kvm\w*|vbox\w*|vmmon|printk|kernel|workqueue)(?:/parameters)?/[^/]+
    | sys/kernel/livepatch/[^/]+/[^/]+
    | sys/devices/system/cpu/vulnerabilities/[^/]+
    | sys/(?:class|devices/virtual)/dmi/id(?:/(?:sys_vendor|product_name|product_uuid))?
    | (?:etc|usr/lib)/os-release
    | etc/(?:default/(?:grub|libvirt-guests|grub\.d/[^/]+)|sysconfig/libvirt-guests|kernel/cmdline|libvirt/qemu\.conf)
    | etc/libvirt/qemu/[^/]+\.xml | (?:var/)?run/libvirt/qemu/[^/]+\.xml
    | boot/(?:grub2?/(?:grub\.cfg|grubenv)|loader/entries/[^/]+)
    )$""",
    re.VERBOSE | re.DOTALL,
)
_COPIED: Final = {
    "kernel": (r"/etc/modprobe\.d(/.*)?", r"/proc/cmdline", r"/sys/module/.*"),
    "processor": (r"/proc/cpuinfo", r"/sys/devices/system/cpu/vulnerabilities/.*"),
    "hardware": (r"/sys/class/dmi/id/.*",),
    "grub2": (
        r"/boot/grub2?/(grub\.cfg|grubenv)", r"/boot/loader/entries(/.*)?", r"/etc/default/grub",
    ),
    "libvirt": (r"/etc/libvirt/qemu\.conf", r"/etc/libvirt/qemu/.*", r"/run/libvirt/.*"),
}  # fmt: skip
"""What each plugin copies wherever it exists, in every version since 4.0."""
_ALL_MODPROBE: Final = r"/(run|lib|usr/local/lib)/modprobe\.d(/.*)?"
"""Newer versions of sos copy these as well; 4.0 does not."""
_MODPROBE_COPIED: Final = re.compile(r"/(?:usr/)?lib/modprobe\.d/")


def root_of(tree: ArchiveTree) -> str | None:
    """The folder of the report; None: the archive is not a sosreport."""
    for path in tree.files:
        found = re.fullmatch(r"((?:[^/]+/)?)(?:version\.txt|sos_reports/manifest\.json)", path, re.DOTALL)
        if found and (path.endswith("manifest.json") or tree.files[path].startswith(b"sosreport:")):
            return found[1].removesuffix("/")
    return None


def machine_of(tree: ArchiveTree, root: str) -> ArchivedMachine:
    """The machine of a sosreport.

    Raises:
        ArchiveUnusable: it does not show the machine's name, or when it was made.
    """
    return _Report(tree, root, _manifest(tree, root)).machine()


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What sos notes of itself. `plugins` are those that ran to their end."""

    version: str
    plugins: frozenset[str]


def _manifest(tree: ArchiveTree, root: str) -> _Manifest:
    start = f"{root}/" if root else ""
    text = decoded(tree.files.get(f"{start}version.txt", b""))
    version = re.search(r"^sosreport: *([\w.+~-]{1,40})", text, re.MULTILINE)
    named = frozenset(re.findall(r"^(\w{1,60}): ", text, re.MULTILINE))
    data = tree.files.get(f"{start}sos_reports/manifest.json")
    if data is None:
        return _Manifest(version[1] if version else "", named)
    try:
        manifest = json.loads(data)
        plugins = manifest["components"]["report"]["plugins"]
        ran = {name for name, each in plugins.items() if not each.get("timeout_hit")}
        command, shown = str(manifest.get("cmdline", "")), str(manifest.get("version", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ArchiveUnusable("its sos_reports/manifest.json is not the one that sos writes") from None
    if "--skip-files" in command or "--skip-commands" in command:
        ran = set()
    return _Manifest(version[1] if version else printable(shown, 40), frozenset(ran))


class _Report:
    """One report, and where its readings are."""

    def __init__(self, tree: ArchiveTree, root: str, manifest: _Manifest) -> None:
        self.tree, self.start = tree, f"{root}/" if root else ""
        self.manifest = manifest
        self.tool = f"sos {manifest.version}".rstrip()
        covered = [pattern for name in manifest.plugins for pattern in _COPIED.get(name, ())]
        if "kernel" in manifest.plugins and any(_MODPROBE_COPIED.search(f"/{path}") for path in tree.files):
            covered.append(_ALL_MODPROBE)
        self._covered = re.compile("|".join(covered) or r"(?!)")
        self.files = CopiedFiles(tree, root, self.tool, self._covers)

    def _covers(self, path: str) -> bool:
        merged = self.files.tree.links.get(f"{self.start}lib", "").strip("/") == "usr/lib"
        return self._covered.fullmatch(path.replace("/usr/lib/", "/lib/", 1) if merged else path) is not None

    def machine(self) -> ArchivedMachine:
        """The machine, with its name and the time of the report."""
        return ArchivedMachine(
            self._name(), self._time(), KIND, self.tool, list(self._readings()), self._libvirt(), self._modules()
        )

    def text(self, *paths: str) -> str | None:
        """The text of the first of these files that the report has."""
        found = (self.tree.files.get(f"{self.start}{path}") for path in paths)
        return next((decoded(data) for data in found if data is not None), None)

    def starting(self, path: str) -> Mapping[str, bytes]:
        """The files whose paths begin like that."""
        start = f"{self.start}{path}"
        return {name[len(self.start) :]: data for name, data in self.tree.files.items() if name.startswith(start)}

    def _name(self) -> str:
        text = self.text("sos_commands/host/hostname", "hostname") or ""
        name = text.strip() or texts.node_of_uname(self.text("sos_commands/kernel/uname_-a", "uname") or "") or ""
        if not re.fullmatch(r"[\w.-]{1,253}", name, re.ASCII):
            raise ArchiveUnusable("it does not name its machine: neither hostname nor uname -a is in it")
        return name

    def _time(self) -> datetime:
        shown = self.text("sos_commands/date/date_--utc", "sos_commands/date/date", "date") or ""
        time = texts.utc_time(shown)
        if time is not None:
            return time.astimezone(UTC)
        if " UTC " in shown:
            raise ArchiveUnusable(f"its date is not a valid one: {printable(shown, 60)}")
        times = [self.tree.times.get(f"{self.start}{path}") for path in ("version.txt", "sos_reports/manifest.json")]
        known = [time for time in times if time is not None]
        if not known:
            raise ArchiveUnusable("it does not show when it was made: there is no `date --utc` in it")
        return max(known)

    def _readings(self) -> Iterator[Reading]:
        yield from self._of_kernel()
        yield from self._of_mounts()
        yield from self._of_processes()
        yield from self.files.modprobe_folders()
        yield from self._of_boot()
        yield from self._of_machine()
        conf = only_lines(self.files.reading(sources.QEMU_CONF), texts.QEMU_CONF_LINES)
        yield conf
        for path in sources.LIBVIRT_GUESTS_SETTINGS:
            yield only_lines(self.files.reading(path), texts.SHUTDOWN_LINES)
        units = texts.of_unit_files(self.text("sos_commands/systemd/systemctl_list-unit-files") or "")
        if units is not None:
            yield units

    def _of_kernel(self) -> Iterator[Reading]:
        yield from texts.of_uname(self.text("sos_commands/kernel/uname_-a", "uname") or "")
        yield Reading(sources.ACCOUNT, Status.OK, "uid=0(root) gid=0(root) groups=0(root)", 0)  # sos refuses any other.
        yield self.files.reading(sources.CMDLINE)
        yield only_lines(self.files.reading(sources.CPUINFO), texts.CPU_LINES)
        yield from self.files.kvm_modules()
        yield from texts.of_dmesg(self.text("sos_commands/kernel/dmesg") or "")
        yield from texts.of_modinfo(self._modinfo(), self._modules().with_needed(ASKED) or ASKED)
        for name in ("itlb_multihit", "l1tf"):
            yield self.files.reading(f"{sources.VULNERABILITIES}/{name}")
        trees = self.starting("lib/modules/") or self.starting("usr/lib/modules/")
        releases = sorted({path.split("/")[-2] for path in trees})
        if releases:
            yield Reading(sources.MODULE_TREES, Status.OK, "\n".join(releases))

    def _modinfo(self) -> str:
        return "\n".join(decoded(data) for data in self.starting("sos_commands/kernel/modinfo_").values())

    def _modules(self) -> ModuleIndex:
        """The kernel's modules; built in is what /sys/module shows without a state (kernel/module/sysfs.c)."""
        built_in = [
            name
            for name in ASKED
            if name in self.files.folders(sources.MODULES)
            and "initstate" not in self.files.names(f"{sources.MODULES}/{name}")
        ]
        indexes = self.starting("lib/modules/") or self.starting("usr/lib/modules/")
        if "kernel" not in self.manifest.plugins:
            built_in = []
        if len(indexes) == 1:
            return index_of_modules_dep(decoded(next(iter(indexes.values()))), built_in)
        return index_of_modinfo(self._modinfo(), built_in)

    def _of_processes(self) -> Iterator[Reading]:
        processes = texts.of_ps(self.text("sos_commands/process/ps_auxwww", "ps") or "", self.tool)
        is_machine = any(texts.is_root_of_machine(each.text) for each in self._of_mounts())
        yield from (each for each in processes if is_machine or each.source != sources.FIRST_THREAD)
        names = [name for name in self.files.folders(sources.MODULES) if name.startswith("kvm")]
        modules = self.files.values(f"{sources.MODULES}/kernel")
        counts = [self.text(f"sys/module/{name}/refcnt") for name in names if name.startswith("kvm_")]
        if "kernel" in self.manifest.plugins and self.files.folders(sources.MODULES) and (counts or not names):
            unused = texts.unused_kvm(modules, [None if each is None else each.strip() for each in counts] or ["0"])
            if unused is not None:
                yield unused

    def _of_boot(self) -> Iterator[Reading]:
        yield only_lines(self.files.reading(sources.GRUB), texts.GRUB_LINES)
        for reading in self.files.listed(sources.GRUB_D):
            yield reading if reading.source == sources.GRUB_D else only_lines(reading, texts.GRUB_LINES)
        yield only_lines(self.files.reading(sources.GRUBENV), texts.GRUBENV_LINES)
        yield self.files.reading(sources.KERNEL_INSTALL)
        for reading in self.files.listed(sources.BOOT_ENTRIES):
            yield reading if reading.source == sources.BOOT_ENTRIES else only_lines(reading, texts.BOOT_ENTRY_LINES)
        for path in sources.GRUB_CFGS:
            found = self.files.reading(path)
            if found.status is not Status.ABSENT:
                yield only_lines(found, texts.GRUB_CFG_LINES)

    def _of_machine(self) -> Iterator[Reading]:
        listings = [path for path in self.starting("sos_commands/") if re.search(r"/ls_[^/]*\.dev$", path)]
        for path in listings:
            device = texts.of_dev_listing(self.text(path) or "")
            if device is not None:
                yield device
        yield from self._of_dmi()
        yield only_lines(self.files.reading(sources.OS_RELEASE), texts.OS_RELEASE_LINES)

    def _of_mounts(self) -> Iterator[Reading]:
        found = map(self.files.found, ("/proc/self/mounts", "/proc/mounts"))
        mounts = next((each for each in found if each is not None and each.is_ok), None)
        if mounts is not None:
            yield only_lines(Reading(sources.MOUNTS, mounts.status, mounts.text), texts.MOUNT_LINES)
        else:
            yield from texts.of_mount(self.text("sos_commands/filesys/mount_-l", "mount") or "")

    def _of_dmi(self) -> Iterator[Reading]:
        decoded_table = {
            each.source: each
            for each in texts.of_dmidecode(self.text("sos_commands/hardware/dmidecode", "dmidecode") or "")
        }
        for name in ("sys_vendor", "product_name", "product_uuid"):
            source = f"{sources.DMI}/{name}"
            yield self.files.found(source) or decoded_table.get(source) or self.files.missing(source)

    def _libvirt(self) -> LibvirtAnswer:
        has_files = "libvirt" in self.manifest.plugins and self._is_installed()
        states = [text for text in (self.text(path) for path in self.starting("sos_commands/libvirt/ls_-lR_")) if text]
        return LibvirtFiles(
            tool=self.tool,
            uri=LIBVIRT_URI,
            definitions=self.starting("etc/libvirt/qemu/") if has_files else None,
            statuses={**self.starting("run/libvirt/qemu/"), **self.starting("var/run/libvirt/qemu/")}
            if has_files
            else None,
            dumps=self.starting("sos_commands/virsh/virsh_-r_dumpxml_"),
            infos=[decoded(data) for data in self.starting("sos_commands/virsh/virsh_-r_dominfo_").values()],
            listing=self.text("sos_commands/virsh/virsh_-r_list_--all"),
            state_listing=states[0] if states else None,
            capabilities=self.text("sos_commands/virsh/virsh_-r_capabilities") or "",
        ).answer()

    def _is_installed(self) -> bool:
        return bool(self.starting("etc/libvirt/"))
