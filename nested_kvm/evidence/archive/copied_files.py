"""The files of a machine as an archive copied them, below a folder that stands for `/`."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nested_kvm.evidence import sources
from nested_kvm.evidence.archive.tree import ArchiveTree
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.util.text import printable

MODPROBE_D = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)
"""kmod's folders, the one with the highest precedence first."""


@dataclass(frozen=True, slots=True)
class CopiedFiles:
    """The copied files; `tool` is the program that copied them, `covers` whether it copies a path where that exists."""

    tree: ArchiveTree
    root: str
    """The folder that stands for `/`, without a slash at its end."""
    tool: str
    covers: Callable[[str], bool]

    def reading(self, path: str, source: str | None = None) -> Reading:
        """The reading of a file: what the probe would have printed of it, or that the archive does not decide."""
        return self.found(path, source) or self.missing(path, source)

    def found(self, path: str, source: str | None = None) -> Reading | None:
        """The reading of a file that the archive has, in whatever state; None: it has none of that name."""
        source, at = source or path, self._at(path)
        link = self.tree.links.get(at)
        if link is not None:
            # The tools write links relative to the archive; an absolute one is shown as the machine has it.
            link = printable(link, 200)
        resolved = self.tree.resolved(at, self.root)
        if resolved is None:
            return Reading(source, Status.NOT_COLLECTED, f"{path} is a link that leads out of the archive", link=link)
        if resolved in self.tree.files:
            return Reading(source, Status.OK, decoded(self.tree.files[resolved]), link=link)
        if resolved in self.tree.denied:
            return Reading(source, Status.UNREADABLE, link=link)
        if resolved == self._at("/dev/null"):
            return Reading(source, Status.DEVICE, link="/dev/null")
        if link is not None:
            reason = f"{path} is a link to {link}, which {self.tool} did not collect"
            return Reading(source, Status.NOT_COLLECTED, reason, link=link)
        return None

    def missing(self, path: str, source: str | None = None) -> Reading:
        """The reading of a file that the archive has not: absent where the tool copies it, else not collected."""
        if self.covers(path):
            return Reading(source or path, Status.ABSENT)
        return self.not_collected(source or path)

    def not_collected(self, source: str) -> Reading:
        """The reading of what the tool does not collect."""
        return Reading(source, Status.NOT_COLLECTED, f"{self.tool} does not collect {source}")

    def _at(self, path: str) -> str:
        return f"{self.root}{path}".removeprefix("/")

    def names(self, folder: str) -> list[str]:
        """The names of the files and links in a folder, links to the folder followed."""
        at = self.tree.resolved(self._at(folder), self.root)
        if at is None:
            return []
        start = f"{at}/"
        paths = (path for kind in (self.tree.files, self.tree.links, self.tree.denied) for path in kind)
        return sorted(
            {path.removeprefix(start) for path in paths if path.startswith(start) and "/" not in path[len(start) :]}
        )

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder of which anything was copied."""
        start = f"{self._at(folder)}/"
        paths = (path for kind in (self.tree.files, self.tree.links) for path in kind)
        return sorted(
            {
                path[len(start) :].partition("/")[0]
                for path in paths
                if path.startswith(start) and "/" in path[len(start) :]
            }
        )

    def listed(self, folder: str) -> Iterator[Reading]:
        """The reading of a folder's names, one a line, and of each file in it."""
        names = self.names(folder)
        if not names:
            yield self.missing(folder)
            return
        yield Reading(folder, Status.OK, "\n".join(names))
        for name in names:
            yield self.reading(f"{folder}/{name}")

    def values(self, folder: str) -> Reading:
        """The small files of a folder as `name=value` lines; `name!` where one was not copied whole."""
        names = self.names(folder)
        if not names:
            return self.missing(folder)
        return Reading(folder, Status.OK, "\n".join(self._value(folder, name) for name in names))

    def _value(self, folder: str, name: str) -> str:
        reading = self.reading(f"{folder}/{name}")
        return f"{name}={reading.text.partition(chr(10))[0]}" if reading.is_ok else f"{name}!"

    def modprobe_folders(self) -> Iterator[Reading]:
        """The readings of modprobe.d in all of kmod's folders, and of `/lib` where it is a link."""
        link = self.tree.links.get(self._at("/lib"))
        if link is not None:
            yield Reading("/lib", Status.DIRECTORY, link=link)
        for folder in MODPROBE_D:
            yield from self.listed(folder)

    def kvm_modules(self) -> Iterator[Reading]:
        """The readings of `/sys/module`: the modules of KVM and of other hypervisors, with state and parameters."""
        every = self.folders(sources.MODULES)
        if not every:
            yield self.not_collected(sources.MODULES)
            return
        names = [name for name in every if re.fullmatch(r"kvm\w*|vbox\w*|vmmon", name)]
        yield Reading(sources.MODULES, Status.OK, "\n".join(names))
        for name in names:
            if name.startswith("kvm"):
                yield self.values(f"{sources.MODULES}/{name}")
                yield self.values(f"{sources.MODULES}/{name}/parameters")
        for patch in self.folders(sources.LIVE_PATCHES):
            yield self.values(f"{sources.LIVE_PATCHES}/{patch}")


def decoded(data: bytes) -> str:
    """The text of a file, as the probe's answer is decoded."""
    return data.decode("utf-8", "replace")


def only_lines(reading: Reading, pattern: str, flags: re.RegexFlag = re.NOFLAG, last: int = 100_000) -> Reading:
    """The reading with only the lines that match, as the probe prints them: the others may be secret."""
    if not reading.is_ok:
        return reading
    found = [line for line in reading.text.split("\n") if re.search(pattern, line, flags)]
    return Reading(reading.source, reading.status, "\n".join(found[-last:]), reading.exit_status, reading.link)
