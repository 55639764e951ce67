"""Whether guests reach what only nesting reaches: the running module's values, and what its next load does.

With EPT or NPT off KVM shadows the page tables of every guest, and nested=0 withholds nothing.
"""

from collections.abc import Callable, Iterator
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kernel.cmdline import builtin_parameter
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.parameter import Setting, parameter_type, read_parameter
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.kvm.exposure import Reach
from nested_kvm.facts.modprobe.boot_cmdline import PAGING, NextCmdline
from nested_kvm.facts.modprobe.lasting import lasting_settings_of
from nested_kvm.facts.modprobe.load_outcome import Authority, NextLoad
from nested_kvm.facts.modprobe.module_info import module_info_of
from nested_kvm.facts.modprobe.show_depends import ShowDepends
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence

_OFF: Final = frozenset({"N", "n", "0"})

Found = tuple[Answer, str, tuple[Evidence, ...]]


def reach_of(
    bundle: Bundle,
    module: KvmModule,
    next_load: Callable[[], NextLoad],
    next_cmdline: Callable[[], NextCmdline],
) -> Reach:
    """Whether guests reach it, with the line that opens or closes it. What cannot be read is unknown, never closed."""
    now, why_now, shown = _now(module)
    later, why_later, lines = _later(bundle, module, next_load, next_cmdline)
    evidence = tuple(dict.fromkeys((*shown, *lines)))
    if module.pvm:
        now, later = (answer if answer is Answer.YES else Answer.UNKNOWN for answer in (now, later))
        why_now = f"PVM is loaded, which shadows the page tables of every guest; {why_now}"
    return Reach(now, later, f"{why_now}; {why_later}", (*evidence, *module.pvm))


def _now(module: KvmModule) -> Found:
    if not module.is_loaded:
        return Answer.NO, f"{module.name} {module.lack}", module.evidence
    found = [(name, module.parameters[name].strip()) for name in PAGING if name in module.parameters]
    off = [name for name, value in found if value in _OFF]
    quoted = tuple(Evidence(f"{module.directory}/parameters/{name}", value) for name, value in found)
    if off:
        return Answer.YES, f"{off[0]} is off, so every guest reaches it, nested or not", (*module.evidence, *quoted)
    try:
        is_on, value = module.nested, module.nested_text
    except ObservationError as reason:
        return Answer.UNKNOWN, str(reason), module.evidence
    if is_on:
        return Answer.YES, f"{module.name} runs with nested={value}", module.evidence
    if not found:
        return Answer.UNKNOWN, f"whether {module.name} runs with EPT or NPT could not be read", module.evidence
    return Answer.NO, f"{module.name} runs with nested={value}", (*module.evidence, *quoted)


def _later(
    bundle: Bundle, module: KvmModule, next_load: Callable[[], NextLoad], next_cmdline: Callable[[], NextCmdline]
) -> Found:
    try:
        load = next_load()
    except ObservationError as reason:
        return Answer.UNKNOWN, f"its next load is not known: {reason}", ()
    on_cmdline = _words(next_cmdline, Setting.ON)
    if on_cmdline and (load.nested is not None or load.is_built_in):
        return Answer.YES, f"the next boot's command line has {on_cmdline[0].text}", on_cmdline
    prevented = _prevented(load, module)
    if prevented:
        return _gone(bundle, load, module) or (Answer.NO, prevented, load.evidence)
    if load.nested is None:
        return Answer.UNKNOWN, f"its next load is not known: {load.reason}", load.evidence
    if load.nested:
        return _with_nested_on(load, module)
    return _gone(bundle, load, module) or _with_nested_off(bundle, load, next_cmdline)


def _with_nested_on(load: NextLoad, module: KvmModule) -> Found:
    if load.is_left_alone(is_loaded=module.is_loaded) is Answer.UNKNOWN:
        return Answer.UNKNOWN, load.loaded_by_name, load.evidence
    return Answer.YES, f"nested will be on: {load.said_by}", load.evidence


def _with_nested_off(bundle: Bundle, load: NextLoad, next_cmdline: Callable[[], NextCmdline]) -> Found:
    opened = _by_paging(bundle, load, next_cmdline)
    if opened is not None:
        return opened
    undecided = _words(next_cmdline, Setting.UNDECIDED)
    if undecided:
        reason = f"the next boot's command line may open it: {undecided[0].text}"
        return Answer.UNKNOWN, reason, (*load.evidence, *undecided)
    lost = _lost(load, next_cmdline)
    if lost:
        reason = f"{lost[0].text} turns nested off, and not each command line of the next boot has it"
        return Answer.UNKNOWN, reason, (*load.evidence, *lost)
    unread = _unread(next_cmdline)
    if unread:
        return Answer.UNKNOWN, f"the next boot's command line may open it: {unread}", load.evidence
    return Answer.NO, f"nested will be off: {load.said_by}", load.evidence


def _gone(bundle: Bundle, load: NextLoad, module: KvmModule) -> Found | None:
    """What follows where the file that closes it does not outlive the next boot; None: nothing shows that."""
    lasting = lasting_settings_of(bundle, load, is_loaded=module.is_loaded)
    is_by_value = load.authority is Authority.FILE and not load.fails
    if is_by_value and load.default is False:
        return None
    if lasting.unknown:
        return Answer.UNKNOWN, f"what closes it may be gone after the next boot: {lasting.unknown}", load.evidence
    if not lasting.lost:
        return None
    reason = f"{lasting.lost[0].text.strip()} in {lasting.lost[0].source} is gone after the next boot: {lasting.reason}"
    return Answer.YES if is_by_value and load.default else Answer.UNKNOWN, reason, (*load.evidence, *lasting.lost)


def _prevented(load: NextLoad, module: KvmModule) -> str:
    """Why the module will not be loaded; empty: it may be."""
    if load.never_happens:
        return f"its next load is replaced: {load.said_by}"
    if load.is_left_alone(is_loaded=module.is_loaded) is Answer.YES:
        return f"nothing loads it: {load.blacklisting[0].text.strip()}"
    return f"its next load fails: {load.reason}" if load.fails else ""


def _words(next_cmdline: Callable[[], NextCmdline], wanted: Setting) -> tuple[Evidence, ...]:
    """The words of the next boot's command line that set nested so."""
    try:
        return tuple(where for setting, where in next_cmdline().words if setting is wanted)
    except ObservationError:
        return ()


def _lost(load: NextLoad, next_cmdline: Callable[[], NextCmdline]) -> tuple[Evidence, ...]:
    """The words of the current command line that alone turn nested off, and that the next boot may lack."""
    is_in_a_file = any(each.source != sources.CMDLINE for each in load.overridden) and not load.contradicted
    if load.authority is not Authority.COMMAND_LINE or is_in_a_file or load.default is False:
        return ()
    try:
        found = next_cmdline()
    except ObservationError:
        return ()
    return found.lost_for(nested=False) if found.read else ()


def _unread(next_cmdline: Callable[[], NextCmdline]) -> str:
    """Why there may be other words on the next boot's command line."""
    try:
        return next_cmdline().unread
    except ObservationError as reason:
        return str(reason)


def _by_paging(bundle: Bundle, load: NextLoad, next_cmdline: Callable[[], NextCmdline]) -> Found | None:
    """What the next load does to EPT or NPT, where that opens the host, or may; None: both stay on."""
    found = [*_paging_on_cmdline(next_cmdline), *_paging_of_load(bundle, load)]
    for wanted, answer, effect in (
        (Setting.OFF, Answer.YES, "its next load turns EPT or NPT off, so every guest will reach it"),
        (Setting.UNDECIDED, Answer.UNKNOWN, "its next load may turn EPT or NPT off"),
    ):
        words = tuple(where for setting, where in found if setting is wanted)
        if words:
            return answer, f"{effect}: {words[0].text}", (*load.evidence, *words)
    return None


def _paging_on_cmdline(next_cmdline: Callable[[], NextCmdline]) -> tuple[tuple[Setting, Evidence], ...]:
    try:
        return next_cmdline().paging
    except ObservationError:
        return ()


def _paging_of_load(bundle: Bundle, load: NextLoad) -> Iterator[tuple[Setting, Evidence]]:
    """Yield what kmod, or for a built-in module the current command line, gives each of the two."""
    source = sources.CMDLINE if load.is_built_in else sources.show_depends(load.module)
    text, release = bundle.text(source), KernelRelease.parse(bundle.text(sources.KERNEL_RELEASE))
    types = module_info_of(bundle, load.module).parameters.get(load.module, {})
    for name in PAGING:
        kind = parameter_type(types.get(name, ""))
        if load.is_built_in:
            decisive = builtin_parameter(text, load.module, name, kind, release).last_valid
        else:
            options = ShowDepends.parse(load.module, text).options or ""
            decisive = read_parameter(options, name, kind, release).decisive
        if decisive is not None:
            yield decisive.setting, Evidence(source, decisive.word.text)
