"""The configuration of modprobe: how kmod reads modprobe.d and the kernel command line.

Sources: kmod's libkmod/libkmod-config.c and libkmod/libkmod-module.c, modprobe.d(5). The tests compare it with the
real program.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.modprobe.config_cmdline import parse_cmdline
from nested_kvm.facts.modprobe.config_file import (
    FileState,
    ModprobeFile,
    modprobe_files,
    unreadable_directories,
    unseen_directories,
)
from nested_kvm.facts.modprobe.config_line import Directive, ModprobeLine, parse_lines
from nested_kvm.facts.modprobe.fnmatch import matches
from nested_kvm.facts.modprobe.kmod import Kmod

_UNREAD = frozenset({
    Status.UNREADABLE, Status.FAILED, Status.TIMED_OUT, Status.MISSING, Status.ABSENT, Status.NOT_COLLECTED,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModuleOptions:
    """The options that a module is loaded with: the lines that set them, in order, and kmod's string of all of them."""

    lines: tuple[ModprobeLine, ...]

    @property
    def text(self) -> str:
        """The string as `modprobe --show-depends` prints it, less the blank that kmod adds at its end."""
        return " ".join(line.argument for line in self.lines)

    def line_at(self, offset: int) -> ModprobeLine:
        """Find the line that contributed the byte at `offset` of the string in UTF-8.

        Raises:
            IndexError: the string is shorter.
        """
        for line in self.lines:
            offset -= len(line.argument.encode(errors="replace")) + 1
            if offset < 0:
                return line
        raise IndexError(offset)


@dataclass(frozen=True, slots=True)
class ModprobeConfiguration:
    """All files and lines, obeyed or not, in the order in which kmod reads them; the command line comes last.

    `unseen` names directories that were not listed, `unreadable` directories and files that may not be read:
    kmod, run by the same user, silently ignores those. `unread` names the listed files whose lines are not known,
    whether or not kmod obeys them.
    """

    kmod: Kmod
    files: tuple[ModprobeFile, ...]
    lines: tuple[ModprobeLine, ...]
    unseen: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @classmethod
    def parse(cls, readings: Mapping[str, Reading], cmdline: str, kmod: Kmod | None = None) -> Self:
        """Read the configuration of one target.

        `readings` maps paths to readings: of each directory of `Kmod.directories`, with one file name a line, and of
        each file in it. With a reading of `/lib` that is a link, a merged /usr is recognised by it, and otherwise by
        equal content.
        """
        kmod = kmod or Kmod()
        files = modprobe_files(readings, kmod)
        lines = [line for file in files for line in _lines(file, readings, kmod)]
        forbidden = (file.path for file in files if file.state is FileState.UNREADABLE)
        return cls(
            kmod,
            files,
            (*lines, *parse_cmdline(cmdline)),
            unseen_directories(readings, kmod),
            (*unreadable_directories(readings, kmod), *forbidden),
            tuple(file.path for file in files if _may_have_lines(readings.get(file.path))),
        )

    @property
    def unobserved(self) -> tuple[str, ...]:
        """The directories and files that kmod reads and that were not inspected: kmod may be denied them."""
        listed = (file.path for file in self.files if file.state is FileState.NOT_OBSERVED)
        return (*self.unseen, *listed)

    @property
    def is_complete(self) -> bool:
        """Whether all that kmod reads was observed."""
        return not (self.unobserved or self.unreadable)

    def obeyed(self, directive: Directive) -> Iterator[ModprobeLine]:
        """Yield the lines of one directive that kmod obeys, in order."""
        return (line for line in self.lines if line.directive is directive and line.is_obeyed)

    def dead_lines(self, text: str) -> tuple[ModprobeLine, ...]:
        """Find the lines, other than comments, that contain `text` and of which at least a part has no effect."""
        return tuple(line for line in self.lines if line.flaw and not line.flaw.is_comment and text in line.text)

    def options_for(self, module: str, alias: str | None = None) -> ModuleOptions:
        """Return the options of a module; those of `alias`, the name of an `alias` line that led to it, count too."""
        names = {normalised(module), alias}
        return ModuleOptions(
            tuple(line for line in self.obeyed(Directive.OPTIONS) if line.subject in names and line.argument)
        )

    def install_for(self, module: str) -> ModprobeLine | None:
        """Find the `install` line that replaces the module: the first whose pattern matches.

        kmod ignores it where a `softdep` line names an existing module (`ignorecmd` in libkmod-module.c).
        """
        name = normalised(module)
        return next((line for line in self.obeyed(Directive.INSTALL) if matches(line.subject, name)), None)

    def aliases_of(self, name: str) -> tuple[ModprobeLine, ...]:
        """Find the `alias` lines that redirect a name: where there is one, kmod loads their targets alone."""
        wanted = normalised(name)
        return tuple(line for line in self.obeyed(Directive.ALIAS) if matches(line.subject, wanted))

    def blacklisting(self, module: str) -> tuple[ModprobeLine, ...]:
        """Find the lines that prevent a module from being loaded by an alias, as udev does at boot.

        The command line's `modprobe.blacklist=` counts only as kmod compares it: with underscores.
        """
        return tuple(line for line in self.obeyed(Directive.BLACKLIST) if line.subject == normalised(module))


def modprobe_configuration_of(bundle: Bundle) -> ModprobeConfiguration:
    """The configuration by the files that kmod reads and the kernel command line.

    Raises:
        ObservationError: the command line, or kmod's version, is not in the evidence.
    """
    version = bundle.reading(sources.MODPROBE_VERSION)
    kmod = Kmod.parse(version.text) if version.is_ok else None
    return ModprobeConfiguration.parse(bundle.readings, bundle.text(sources.CMDLINE), kmod)


def normalised(module: str) -> str:
    """Write a module's name as kmod and the kernel do: with underscores."""
    return module.replace("-", "_")


def _may_have_lines(reading: Reading | None) -> bool:
    """Whether a listed file may have lines that were not read."""
    return reading is None or reading.status in _UNREAD


def _lines(file: ModprobeFile, readings: Mapping[str, Reading], kmod: Kmod) -> Iterator[ModprobeLine]:
    reading = readings.get(file.path)
    if reading is None or not reading.is_ok:
        return
    for line in parse_lines(file.path, reading.text, kmod):
        yield line if file.state is FileState.READ else line.in_unread_file()
