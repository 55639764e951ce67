"""A supportconfig of SUSE, packed (`.txz`, `.tbz`, `.tgz`) or not.

It is a folder `scc_<host>_<date>_<time>` of text files with sections:

    #==[ Command ]======================================#
    # /usr/bin/uname -a
    Linux kvm-a 6.4.0-150600.23.17-default #1 SMP PREEMPT_DYNAMIC … x86_64 GNU/Linux

Facts about what is collected: supportutils' bin/supportconfig and bin/supportconfig.rc. Comments and empty lines of
configuration files are left out, and a comment that ends in a backslash swallows the line behind it: so the lines of
modprobe.d that a supportconfig shows may not be those that kmod reads, and they are not evaluated.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from nested_kvm.errors import ArchiveUnusable
from nested_kvm.evidence import sources
from nested_kvm.evidence.archive import texts
from nested_kvm.evidence.archive.copied_files import decoded, only_lines
from nested_kvm.evidence.archive.kmod import ASKED
from nested_kvm.evidence.archive.machine import LIBVIRT_URI, ArchivedMachine
from nested_kvm.evidence.archive.tree import ArchiveTree
from nested_kvm.evidence.bundle import LibvirtAnswer
from nested_kvm.evidence.reading import Reading, Status

KIND: Final = "supportconfig"
TOOL: Final = "supportconfig"
WANTED: Final = re.compile(
    r"^(?:[^/]+/)?(?:basic-environment|basic-health-check|modules|hardware|boot|fs-diskio|network)\.txt$"
)
_BEGIN: Final = re.compile(r"^#==\[ [^\]\n]{1,60} \]=+#\n# ?(?P<title>[^\n]*)\n", re.MULTILINE)
_BUGS: Final = re.compile(rf"^{sources.VULNERABILITIES}/(itlb_multihit|l1tf):(.*)$", re.MULTILINE)
_PARAMETER: Final = re.compile(r"^/sys/module/(kvm\w*)/parameters/(\w+)=(.*)$", re.MULTILINE)
_NOT_FOUND: Final = " - File not found"
_PS: Final = "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"


def root_of(tree: ArchiveTree) -> str | None:
    """The folder of the supportconfig; None: the archive is not one."""
    for path in tree.files:
        if path.endswith("basic-environment.txt") and b"#==[ Command ]=" in tree.files[path]:
            return path.rpartition("/")[0]
    return None


def machine_of(tree: ArchiveTree, root: str) -> ArchivedMachine:
    """The machine of a supportconfig.

    Raises:
        ArchiveUnusable: it does not show the machine's name, or when it was made.
    """
    report = _Report(tree, root)
    name = texts.node_of_uname(report.command("basic-environment", "uname -a")) or ""
    if not re.fullmatch(r"[\w.-]{1,253}", name, re.ASCII):
        raise ArchiveUnusable("it does not name its machine: there is no `uname -a` in basic-environment.txt")
    reason = f"{TOOL} does not show the domains of libvirt"
    libvirt = LibvirtAnswer(LIBVIRT_URI, "files", not_asked=reason)
    return ArchivedMachine(name, report.time(), KIND, TOOL, list(report.readings()), libvirt)


class _Report:
    """The sections of the report's files."""

    def __init__(self, tree: ArchiveTree, root: str) -> None:
        self._tree = tree
        self._start = f"{root}/" if root else ""
        self._sections: dict[str, dict[str, str]] = {}

    def sections(self, file: str) -> Mapping[str, str]:
        """The sections of a file by their titles; of a title that occurs twice the first."""
        if file not in self._sections:
            text = decoded(self._tree.files.get(f"{self._start}{file}.txt", b""))
            marks = list(_BEGIN.finditer(text))
            ends = [mark.start() for mark in marks[1:]] + [len(text)] * bool(marks)
            found: dict[str, str] = {}
            for mark, end in zip(marks, ends, strict=True):
                found.setdefault(mark["title"].strip(), text[mark.end() : end].rstrip("\n") + "\n")
            self._sections[file] = found
        return self._sections[file]

    def command(self, file: str, command: str) -> str:
        """The output of a command, whatever directory its program is in; empty: there is none."""
        for title, text in self.sections(file).items():
            if re.sub(r"^/\S*/", "", title) == command and not text.startswith("ERROR: "):
                return text
        return ""

    def time(self) -> datetime:
        """When it was made: by `date` where that is in UTC, else by the time of its files.

        Raises:
            ArchiveUnusable: it shows neither.
        """
        shown = texts.utc_time(self.command("basic-environment", "date"))
        time = shown or self._tree.times.get(f"{self._start}basic-environment.txt")
        if time is None:
            raise ArchiveUnusable("it does not show when it was made")
        return time.astimezone(UTC)

    def readings(self) -> Iterator[Reading]:
        """Every reading for which the archive has an answer."""
        yield from texts.of_uname(self.command("basic-environment", "uname -a"))
        yield Reading(sources.ACCOUNT, Status.OK, "uid=0(root) gid=0(root) groups=0(root)", 0)  # It refuses any other.
        yield from self._file("hardware", sources.CMDLINE)
        yield from self._file("hardware", sources.CPUINFO, texts.CPU_LINES)
        yield from self._file("basic-environment", sources.OS_RELEASE, texts.OS_RELEASE_LINES)
        yield from self._file("fs-diskio", "/proc/mounts", texts.MOUNT_LINES, sources.MOUNTS)
        yield from self._modules()
        yield from texts.of_dmidecode(self.command("hardware", "dmidecode"))
        health = "".join(self.sections("basic-health-check").values())
        yield from (
            Reading(f"{sources.VULNERABILITIES}/{name}", Status.OK, text) for name, text in _BUGS.findall(health)
        )
        yield from texts.of_dmesg(self.command("boot", "dmesg") or self.command("boot", "dmesg -T"))
        yield from self._processes()
        yield texts.unknown_live_patches(TOOL)
        reason = f"{TOOL} leaves comments out of /etc/modprobe.d, which may join lines, so kmod was not asked"
        for source in ("/etc/modprobe.d", *map(sources.show_depends, ASKED)):
            yield Reading(source, Status.NOT_COLLECTED, reason)

    def _file(self, file: str, path: str, lines: str = "", source: str = "") -> Iterator[Reading]:
        sections = self.sections(file)
        if path in sections:
            reading = Reading(source or path, Status.OK, sections[path])
            yield only_lines(reading, lines) if lines else reading
        elif f"{path}{_NOT_FOUND}" in sections:
            yield Reading(source or path, Status.ABSENT)

    def _modules(self) -> Iterator[Reading]:
        """The modules that are loaded, and their parameters; none of a kernel that has them built in."""
        listed = [line for line in self.command("modules", "lsmod | sort").split("\n") if len(line.split()) > 2]  # noqa: PLR2004 - name, size, use count
        yield from texts.of_lsmod("\n".join(["Module", *(line for line in listed if not line.startswith("Module "))]))
        sections = self.sections("modules")
        modinfo = "\n".join(text for title, text in sections.items() if re.search(r"\bmodinfo kvm\w*$", title))
        yield from texts.of_modinfo(modinfo, ("kvm", "kvm_amd", "kvm_intel", "kvm_hv"))
        found: dict[str, list[str]] = {}
        for module, name, value in (each for text in sections.values() for each in _PARAMETER.findall(text)):
            found.setdefault(module, []).append(f"{name}!" if value == "?" else f"{name}={value}")
        for module, lines in found.items():
            yield Reading(f"{sources.MODULES}/{module}/parameters", Status.OK, "\n".join(lines))

    def _processes(self) -> Iterator[Reading]:
        """The processes: user, pid, parent, CPU, memory, sizes, state, time and command."""
        shown = next(
            (text for title, text in self.sections("basic-health-check").items() if " axwwo user,pid" in title), ""
        )
        rows = [row for line in shown.split("\n")[1:] if len(row := line.split(None, 9)) > 9]  # noqa: PLR2004 - the columns of this ps
        if shown.startswith("USER") and rows:
            plain = (f"{row[0]} {row[1]} 0 0 {row[5]} {row[6]} ? {row[7]} 0 {row[8]} {row[9]}" for row in rows)
            yield from texts.of_ps("\n".join([_PS, *plain]), TOOL)
