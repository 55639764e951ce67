"""The kernel command line of the next boot, by the configuration of the usual boot loaders.

Sources: grub's util/grub-mkconfig.in, the Boot Loader Specification, kernel-install(8).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cmdline import builtin_parameter
from nested_kvm.facts.kernel.parameter import ParameterType, Setting
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.shell_word import shell_word

_PLACES: Final = (sources.GRUB, sources.GRUB_D, sources.KERNEL_INSTALL, sources.BOOT_ENTRIES, sources.GRUBENV)
_INSIDE: Final = (f"{sources.GRUB_D}/", f"{sources.BOOT_ENTRIES}/")
_KEY: Final = re.compile(r"^[ \t]*(?:options[ \t]+|(?:export[ \t]+)?(?:GRUB_CMDLINE_\w+|kernelopts)\+?=)")
_TYPES: Final = {
    "kvm_amd": ParameterType.INT,
    "kvm_intel": ParameterType.BOOL,
    "kvm": ParameterType.INT,
    "kvm_hv": ParameterType.BOOL,
}


@dataclass(frozen=True, slots=True)
class NextCmdline:
    """Each word that sets nested, its effect and its place; `unknown` is why there may be more.

    Source: `/etc/default/grub` and `grub.d`, `/etc/kernel/cmdline`, `/boot/loader/entries` and `/boot/grub2/grubenv`.
    """

    words: tuple[tuple[Setting, Evidence], ...]
    unknown: str
    evidence: tuple[Evidence, ...]

    def against(self, *, nested: bool) -> tuple[Evidence, ...]:
        """The words that set nested otherwise, or prevent the module from loading."""
        right = Setting.ON if nested else Setting.OFF
        return tuple(where for setting, where in self.words if setting not in {right, Setting.UNDECIDED})


def next_cmdline_of(bundle: Bundle, module: str) -> NextCmdline:
    """The words about the module in the boot loaders' configuration files.

    Raises:
        ObservationError: the files were not inspected.
    """
    places = [bundle.reading(path) for path in _PLACES]
    inside = [each for source, each in bundle.readings.items() if source.startswith(_INSIDE)]
    files = [each for each in (*places, *inside) if each.source not in {sources.GRUB_D, sources.BOOT_ENTRIES}]
    release = KernelRelease.parse(bundle.text(sources.KERNEL_RELEASE).strip())
    words = tuple(word for each in files if each.is_ok for word in _words(each, module, release))
    silent = tuple(Evidence(each.source, f"names no {module}.nested") for each in files if each.is_ok)
    return NextCmdline(words, _unknown([*places, *inside], words), tuple(where for _, where in words) or silent)


def _words(file: Reading, module: str, release: KernelRelease) -> Iterator[tuple[Setting, Evidence]]:
    for number, line in enumerate(file.text.splitlines(), start=1):
        cmdline = _cmdline(file, line) or ""
        found = builtin_parameter(cmdline, module, "nested", _TYPES.get(module), release)
        for each in found.assignments:
            yield each.setting, Evidence(_place(file, number), each.word.text)


def _cmdline(file: Reading, line: str) -> str | None:
    """The value on a line; grub's files are read by a shell. None: the value continues on the next line."""
    given = _KEY.sub("", line)
    return shell_word(given) if file.source.startswith(sources.GRUB) else given.strip().strip("\"'")


def _goes_on(file: Reading) -> bool:
    return any(_cmdline(file, line) is None for line in file.text.split("\n"))


def _place(file: Reading, number: int) -> str:
    """The place of a line. Its number is known where the whole file was read, not only the lines that matched."""
    return f"{file.source}:{number}" if file.source == sources.KERNEL_INSTALL else file.source


def _unknown(readings: list[Reading], words: tuple[tuple[Setting, Evidence], ...]) -> str:
    unseen = [each.source for each in readings if not each.is_ok and each.status is not Status.ABSENT]
    if unseen:
        return f"{', '.join(unseen)} could not be read"
    if any(setting is Setting.UNDECIDED for setting, _ in words):
        return "the effect of the value depends on the kernel"
    read = [each for each in readings if each.is_ok]
    longer = [each.source for each in read if _goes_on(each)]
    if longer:
        return f"a value in {', '.join(longer)} continues on a line that was not read"
    if any("$kernelopts" in each.text for each in read) and sources.GRUBENV not in {each.source for each in read}:
        return f"the boot entries take $kernelopts from a file other than {sources.GRUBENV}"
    return "" if read else "no supported boot loader configuration found"
