"""The kernel command lines that the next boot may use, by the configuration of the usual boot loaders.

Sources: grub's util/grub-mkconfig.in, the Boot Loader Specification, kernel-install(8), tuned's bootloader plugin.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.boot.grub_defaults import grub_defaults
from nested_kvm.util.text import printable

_DIRECTORIES: Final = {sources.GRUB_D: ".cfg", sources.BOOT_ENTRIES: ".conf"}
"""The directories that are listed, and the suffix of the files in them that count."""
_FILES: Final = (sources.GRUB, sources.KERNEL_INSTALL, sources.GRUBENV)
_ENTRY_FOLDERS: Final = tuple(f"{each}/" for each in (sources.BOOT_ENTRIES, *sources.ESP_ENTRIES))
_INSIDE: Final = (f"{sources.GRUB_D}/", *_ENTRY_FOLDERS)
_LINUX: Final = re.compile(r"[ \t]*linux(?:16|efi)?[ \t]+(?P<kernel>\S+)[ \t]*(?P<arguments>.*)")
_OPTIONS: Final = re.compile(r"[ \t]*options[ \t]+(.*)")
_SET: Final = re.compile(r"[ \t]*(?:set[ \t]+)?(kernelopts|tuned_params|extra_cmdline)=[\"']?(.*?)[\"']?[ \t]*")
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)
_QUOTED: Final = re.compile(r"(?P<double>\"(?:[^\"\\]|\\.)*\")|'(?P<single>[^']*)'|\\(?P<escaped>.)")
_RECOVERY: Final = frozenset({"single", "recovery"})
_RESCUE: Final = "-0-rescue.conf"
"""The end of the name of the entry that dracut makes for emergencies, at the installation."""
_RESCUE_KERNEL: Final = "/vmlinuz-0-rescue-"
"""The kernel of that entry, which grub.cfg has where it has the entries itself, as on RHEL 7."""
_HARMLESS: Final = frozenset({"vt_handoff", "ignition_firstboot"})
"""Variables of Ubuntu's own grub.cfg, and of CoreOS's for its first boot, that hold no argument of a module."""
_EMPTY_IF_UNSET: Final = frozenset({"tuned_params", "extra_cmdline"})
"""Those of RHEL's boot entries and of SUSE's grub.cfg, whose menu of snapshots sets its own to their `rootflags=`."""


@dataclass(frozen=True, slots=True)
class BootLine:
    """A command line that the next boot may use: its parts, each with its place."""

    parts: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The command line."""
        return " ".join(text for _, text in self.parts)

    def place_of(self, word: str) -> str:
        """The place of a word of the line."""
        return next((place for place, text in self.parts if word in text), self.parts[-1][0])


@dataclass(frozen=True, slots=True)
class BootLines:
    """The command lines that the next boot may use; `unknown` is why there may be others.

    `unread` is the same, and empty also where no configuration of a supported boot loader was found.

    Source: `/etc/default/grub` and `grub.d`, the `linux` lines of `grub.cfg`, `/etc/kernel/cmdline`,
    `/boot/loader/entries`, `/boot/grub2/grubenv`, and the boot entries and images on the EFI system partition.
    """

    lines: tuple[BootLine, ...]
    unknown: str
    read: tuple[str, ...]
    """The files that were read."""
    unread: str
    entries: tuple[BootLine, ...] = ()
    """Those of `lines` that are a boot loader's entries, other than for rescue; new entries are made of the others."""


def boot_lines_of(bundle: Bundle) -> BootLines:
    """Read the boot loaders' files.

    Raises:
        ObservationError: the files were not inspected.
    """
    places = [bundle.reading(path) for path in (*_FILES, *_DIRECTORIES)]
    inside = [bundle.readings[source] for source in bundle.readings if source.startswith(_INSIDE)]
    configured = [bundle.readings[path] for path in sources.GRUB_CFGS if path in bundle.readings]
    seen = (*places, *inside, *configured)
    unseen = [each.source for each in seen if not each.is_ok and each.status is not Status.ABSENT]
    unseen += _listed_only(bundle)
    grubenv = bundle.reading(sources.GRUBENV)
    variables = _Variables.of(grubenv, configured)
    snippets = [each for each in inside if each.is_ok and each.source.startswith(_ENTRY_FOLDERS)]
    entries = [BootLine(tuple(_entry(each, variables))) for each in snippets]
    generated = list(_generated(configured, variables))
    defaults = grub_defaults(_default_files(bundle.reading(sources.GRUB), inside))
    lines = [
        *([BootLine(defaults.parts)] if defaults.parts else []),
        *_of_kernel_install(bundle.reading(sources.KERNEL_INSTALL)),
        *entries,
        *([BootLine(((grubenv.source, variables.known["kernelopts"]),))] if "kernelopts" in variables.known else []),
        *(line for _, line in generated),
    ]
    read = [each.source for each in (*places, *inside, *configured) if each.is_ok and each.source not in _DIRECTORIES]
    reasons = [
        f"{', '.join(unseen)} could not be read" if unseen else "",
        variables.unknown,
        _unread_images(bundle),
        "" if generated else defaults.unknown,
    ]
    unread = next(filter(None, reasons), "")
    unknown = unread or ("" if read else "no supported boot loader configuration found")
    used = (
        *(each for each in entries if each.parts and not each.parts[0][0].endswith(_RESCUE)),
        *(line for kernel, line in generated if _RESCUE_KERNEL not in kernel),
    )
    return BootLines(tuple(each for each in lines if each.parts), unknown, tuple(read), unread, used)


def _listed_only(bundle: Bundle) -> Iterator[str]:
    """The files that a directory lists, that a boot loader's tools use, and that are not in the evidence."""
    for directory, suffix in _DIRECTORIES.items():
        listing = bundle.reading(directory)
        names = listing.text if listing.is_ok else ""
        paths = (f"{directory}/{name}" for name in names.split("\n") if name.endswith(suffix))
        yield from (path for path in paths if path not in bundle.readings)


class _Variables:
    """The variables of grub's environment; `unknown` names one that an entry uses and that no file sets."""

    def __init__(self, known: Mapping[str, str], *, are_all: bool) -> None:
        self.known, self._are_all, self.unknown = known, are_all, ""

    @classmethod
    def of(cls, grubenv: Reading, configured: Iterable[Reading]) -> "_Variables":
        known: dict[str, str] = {}
        files = [each for each in (*configured, grubenv) if each.is_ok]
        for found in (_SET.fullmatch(line) for each in files for line in each.text.split("\n")):
            if found is not None:
                known[found[1]] = found[2]
        return cls(known, are_all=any(each.source in sources.GRUB_CFGS for each in files))

    def expand(self, text: str) -> str:
        return _VARIABLE.sub(self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name in self.known:
            return _VARIABLE.sub("", self.known[name])
        if name not in _HARMLESS and not (name in _EMPTY_IF_UNSET and self._are_all):
            self.unknown = f"the boot entries use ${name}, which no file that was read sets"
        return ""


def _default_files(grub: Reading, inside: Iterable[Reading]) -> Iterator[Reading]:
    """The files that grub-mkconfig reads, in its order."""
    if grub.is_ok:
        yield grub
    drop_ins = [each for each in inside if each.is_ok and each.source.startswith(f"{sources.GRUB_D}/")]
    yield from sorted(drop_ins, key=lambda each: each.source)


def _of_kernel_install(file: Reading) -> Iterator[BootLine]:
    if file.is_ok:
        lines = enumerate(file.text.split("\n"), start=1)
        yield BootLine(tuple((f"{file.source}:{number}", line.strip()) for number, line in lines if line.strip()))


def _entry(file: Reading, variables: _Variables) -> Iterator[tuple[str, str]]:
    for found in (_OPTIONS.match(line) for line in file.text.split("\n")):
        if found is not None:
            yield file.source, variables.expand(found[1].strip())


def _generated(files: Iterable[Reading], variables: _Variables) -> Iterator[tuple[str, BootLine]]:
    """The `linux` lines of grub.cfg, each with its kernel; those of recovery entries are left out."""
    for file in files:
        for found in (_LINUX.fullmatch(line) for line in file.text.split("\n")) if file.is_ok else ():
            if found is not None and not _RECOVERY & set(found["arguments"].split()):
                text = variables.expand(_unquoted(found["arguments"].strip()))
                yield found["kernel"], BootLine(((file.source, text),))


def _unquoted(text: str) -> str:
    """The arguments without what grub's own script takes away: single quotes and backslashes.

    It passes an argument with a blank on in double quotes, which the kernel reads as it does.
    """
    return _QUOTED.sub(_as_passed_on, text)


def _as_passed_on(found: re.Match[str]) -> str:
    if found["single"] is None:
        return found["double"] or found["escaped"]
    return f'"{found["single"]}"' if " " in found["single"] else found["single"]


def _unread_images(bundle: Bundle) -> str:
    listing = bundle.readings.get(sources.ESP_IMAGES)
    if listing is None:
        return f"{sources.ESP_IMAGES} are not in the evidence"
    if listing.status is Status.ABSENT:
        return ""
    if not listing.is_ok:
        return "the EFI system partition could not be read, so it may hold a kernel image with its own command line"
    images = listing.text.split("\n")[0].strip()
    return f"{printable(images)} has its own command line, which was not read" if images else ""
