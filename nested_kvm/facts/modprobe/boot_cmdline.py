"""What the kernel command line of the next boot does to KVM: read by kmod's parser, and by the kernel's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.boot.command_line_files import BootLine, BootLines, boot_lines_of
from nested_kvm.facts.kernel.cmdline import (
    builtin_parameter,
    cleared_flags,
    disabling_words,
    refused_modules,
    skipped_initcalls,
)
from nested_kvm.facts.kernel.parameter import ParameterType, Setting, parameter_type, read_parameter, words
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.config_cmdline import parse_cmdline
from nested_kvm.facts.modprobe.config_line import Directive, ModprobeLine
from nested_kvm.facts.modprobe.module_info import ModuleInfo, module_info_of
from nested_kvm.facts.modprobe.module_options import option_faults
from nested_kvm.facts.modprobe.show_depends import ShowDepends
from nested_kvm.model.verdict import Evidence

_PARAMETER: Final = "nested"
_TYPES: Final = {
    "kvm_amd": ParameterType.INT,
    "kvm_intel": ParameterType.BOOL,
    "kvm": ParameterType.INT,
    "kvm_hv": ParameterType.BOOL,
}
_MASK: Final = "*"
ARM_MODE: Final = "kvm-arm.mode"
PAGING: Final = ("ept", "npt")
"""The parameters that turn second-level paging on and off."""


@dataclass(frozen=True, slots=True)
class NextCmdline:
    """The words of the next boot's command line that decide nested, and those that keep KVM from loading.

    `unknown` is why there may be others. On arm64 a command line without the word means off, elsewhere nothing.

    Source: `/etc/default/grub` and `grub.d`, the `linux` lines of `grub.cfg`, `/etc/kernel/cmdline`,
    `/boot/loader/entries`, `/boot/grub2/grubenv`, and the boot entries and images on the EFI system partition.
    """

    words: tuple[tuple[Setting, Evidence], ...]
    unknown: str
    evidence: tuple[Evidence, ...]
    blocking: tuple[Evidence, ...] = ()
    lost: tuple[tuple[Setting, Evidence], ...] = ()
    """The words of the current command line that set nested, and that a boot entry, or every other line, lacks."""
    unread: str = ""
    """Why there may be other words: files that could not be read or evaluated."""
    read: tuple[Evidence, ...] = ()
    """The files that were read, and which may be incomplete."""
    paging: tuple[tuple[Setting, Evidence], ...] = ()
    """The words that decide whether KVM uses EPT or NPT."""

    def against(self, *, nested: bool) -> tuple[Evidence, ...]:
        """The words that set nested otherwise, or prevent the module from loading."""
        right = Setting.ON if nested else Setting.OFF
        wrong = tuple(where for setting, where in self.words if setting not in {right, Setting.UNDECIDED})
        return tuple(dict.fromkeys((*wrong, *(self.blocking if nested else ()))))

    def lost_for(self, *, nested: bool) -> tuple[Evidence, ...]:
        """The words of the current command line that set nested as required, and that the next boot lacks."""
        right = Setting.ON if nested else Setting.OFF
        return tuple(where for setting, where in self.lost if setting is right)


def next_cmdline_of(bundle: Bundle, module: str, *, is_arm64: bool = False) -> NextCmdline:
    """The effect of the boot loaders' configuration on the module.

    Raises:
        ObservationError: the files were not inspected.
    """
    boot = boot_lines_of(bundle)
    if is_arm64:
        return _on_arm64(boot)
    release = KernelRelease.parse(bundle.text(sources.KERNEL_RELEASE).strip())
    answer = bundle.readings.get(sources.show_depends(module))
    is_built_in = answer is not None and answer.is_ok and ShowDepends.parse(module, answer.text).is_built_in
    is_known = is_loadable(bundle, module)
    effects = _Effects(module, module_info_of(bundle, module), release, is_built_in=is_built_in, is_loadable=is_known)
    found = tuple(dict.fromkeys(word for line in boot.lines for word in effects.words(line)))
    paging = tuple(dict.fromkeys(word for line in boot.lines for word in effects.paging(line)))
    blocking = tuple(dict.fromkeys(word for line in boot.lines for word in effects.blocking(line)))
    silent = tuple(Evidence(source, f"names no {module}.{_PARAMETER}") for source in boot.read)
    read = tuple(Evidence(source, "names nothing that keeps KVM from loading") for source in boot.read)
    undecided = next((where for setting, where in found if setting is Setting.UNDECIDED), None)
    depends = f"the effect of {undecided.text} depends on the kernel" if undecided else ""
    current = BootLine(((sources.CMDLINE, bundle.text(sources.CMDLINE)),))
    lost = tuple(_lost(effects, current, boot, frozenset(setting for setting, _ in found)))
    evidence = (*(where for _, where in found), *blocking) or silent
    unread = boot.unread or ("" if is_known or is_built_in else _doubt(boot, module))
    return NextCmdline(found, boot.unknown or unread or depends, evidence, blocking, lost, unread, read, paging)


def _doubt(boot: BootLines, module: str) -> str:
    """Why a word may keep KVM from loading where kmod has not said whether it is a module; empty: there is none."""
    word = next((word for line in boot.lines for word in disabling_words(line.text)), None)
    return f"whether {word} keeps {module} from loading is not known: kmod was not asked how it loads" if word else ""


def is_loadable(bundle: Bundle, module: str) -> bool:
    """Whether kmod is known to load the module; in a kernel without modules KVM can only be a part of it."""
    answer = bundle.readings.get(sources.show_depends(module))
    return answer is not None and answer.is_ok and not ShowDepends.parse(module, answer.text).is_built_in


def blocking_words(
    cmdline: str, modules: frozenset[str], module: str, *, is_built_in: bool, is_loadable: bool
) -> Iterator[str]:
    """Yield the words of a command line that keep the module, or one that it depends on, from starting at boot.

    Sample: `modprobe.blacklist=kvm_amd module_blacklist=ccp initcall_blacklist=svm_init`
    """
    yield from (f"initcall_blacklist={name}" for name in skipped_initcalls(cmdline, modules))
    yield from (f"clearcpuid={name}" for name in cleared_flags(cmdline, module))
    if is_loadable:
        yield from disabling_words(cmdline)
    if not is_built_in:
        yield from (f"module_blacklist={name}" for name in sorted(refused_modules(cmdline) & modules))
        for line in parse_cmdline(cmdline):
            if line.directive is Directive.BLACKLIST and line.subject == module:
                yield line.text


class _Effects:
    """How the command line is read for one module."""

    def __init__(
        self, module: str, info: ModuleInfo, release: KernelRelease, *, is_built_in: bool, is_loadable: bool
    ) -> None:
        self._module, self._info, self._release = module, info, release
        self._is_built_in, self._is_loadable = is_built_in, is_loadable

    def words(self, line: BootLine) -> Iterator[tuple[Setting, Evidence]]:
        """Yield the word that decides nested, and each option that a module refuses or may refuse."""
        yield from self._deciding(line, _PARAMETER, _TYPES.get(self._module))
        if self._is_built_in:
            return
        given = [each for each in parse_cmdline(line.text) if each.directive is Directive.OPTIONS]
        for module in sorted(self._info.required_by(self._module)):
            options = [each for each in given if each.subject == module]
            types = self._info.parameters.get(module)
            beside = _PARAMETER if module == self._module else ""
            for fault in option_faults(module, _options(options), types, self._release, beside=beside):
                is_certain = fault.is_certain and _MASK not in fault.word.text
                setting = Setting.INVALID if is_certain else Setting.UNDECIDED
                yield setting, _quoted(line, _written(options, fault.word.text))

    def paging(self, line: BootLine) -> Iterator[tuple[Setting, Evidence]]:
        """Yield the words that decide whether KVM uses second-level paging."""
        types = self._info.parameters.get(self._module, {})
        for name in PAGING:
            yield from self._deciding(line, name, parameter_type(types.get(name, "")))

    def _deciding(
        self, line: BootLine, parameter: str, kind: ParameterType | None
    ) -> Iterator[tuple[Setting, Evidence]]:
        """Yield the word that decides a parameter of the module, if there is one."""
        if self._is_built_in:
            last = builtin_parameter(line.text, self._module, parameter, kind, self._release).last_valid
            if last is not None:
                yield last.setting, _quoted(line, last.word.text)
            return
        given = parse_cmdline(line.text)
        own = [each for each in given if each.directive is Directive.OPTIONS and each.subject == self._module]
        decisive = read_parameter(_options(own), parameter, kind, self._release).decisive
        if decisive is not None:
            yield decisive.setting, _quoted(line, _written(own, decisive.word.text))

    def blocking(self, line: BootLine) -> Iterator[Evidence]:
        """Yield the words that keep the module from starting."""
        modules = self._info.required_by(self._module)
        for word in blocking_words(
            line.text, modules, self._module, is_built_in=self._is_built_in, is_loadable=self._is_loadable
        ):
            yield _quoted(line, word)


def _lost(
    effects: _Effects, current: BootLine, boot: BootLines, decided: frozenset[Setting]
) -> Iterator[tuple[Setting, Evidence]]:
    """Yield the words of the current command line that no line of the next boot has, or not each of its entries."""
    same = [each for each in boot.entries if _root(each) == _root(current)]
    settings = [{setting for setting, _ in effects.words(each)} for each in same or boot.entries]
    for setting, where in effects.words(current):
        if setting not in decided or not all(setting in each for each in settings):
            yield setting, where


def _root(line: BootLine) -> str | None:
    """The root of the system that a line starts; of another system, or memtest, the menu says nothing about KVM."""
    return next((word.value for word in words(line.text) if word.name == "root"), None)


def _options(lines: list[ModprobeLine]) -> str:
    return " ".join(each.argument for each in lines)


def _written(lines: list[ModprobeLine], option: str) -> str:
    """The word as it stands on the command line."""
    return next((each.text for each in reversed(lines) if option in each.argument), option)


def _quoted(line: BootLine, word: str) -> Evidence:
    return Evidence(line.place_of(word), word)


def _on_arm64(boot: BootLines) -> NextCmdline:
    """Each command line decides: without the mode, KVM does not nest."""
    found = tuple(dict.fromkeys(_arm_mode(line) for line in boot.lines))
    if not boot.lines and not boot.unknown:
        found = tuple((Setting.OFF, Evidence(source, f"no {ARM_MODE}")) for source in boot.read)
    evidence = tuple(where for _, where in found)
    if len({setting for setting, _ in found}) > 1:
        return NextCmdline((), f"the boot loaders' files disagree on {ARM_MODE}", evidence)
    return NextCmdline(found, boot.unknown, evidence)


def _arm_mode(line: BootLine) -> tuple[Setting, Evidence]:
    modes = [word for word in words(line.text) if word.name.replace("_", "-") == ARM_MODE]
    if not modes:
        return Setting.OFF, Evidence(line.parts[-1][0], f"no {ARM_MODE}")
    is_nested = (modes[-1].value or "").partition(",")[0] == "nested"
    return Setting.ON if is_nested else Setting.OFF, _quoted(line, modes[-1].text)
