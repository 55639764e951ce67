"""Whether guests reach what only nesting reaches: the running module's values, and what its next load does."""

import re
from collections.abc import Callable
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.parameter import Setting
from nested_kvm.facts.kvm.exposure import Reach
from nested_kvm.facts.modprobe.boot_cmdline import NextCmdline
from nested_kvm.facts.modprobe.load_outcome import NextLoad
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence

_PAGING: Final = ("ept", "npt")
"""With either of them off KVM shadows the page tables of every guest, and nested=0 withholds nothing."""
_OFF: Final = frozenset({"N", "n", "0"})
_PAGING_OFF: Final = re.compile(r"\b(?:ept|npt)=(?:[nN0]|off)(?=\s|$)", re.ASCII)

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
    return Reach(now, later, f"{why_now}; {why_later}", tuple(dict.fromkeys((*shown, *lines))))


def _now(module: KvmModule) -> Found:
    if not module.is_loaded:
        return Answer.NO, f"{module.name} is not loaded", module.evidence
    found = [(name, module.parameters[name].strip()) for name in _PAGING if name in module.parameters]
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
    on_cmdline = _opened_by(next_cmdline)
    if on_cmdline and (load.nested is not None or load.is_built_in):
        return Answer.YES, f"the next boot's command line has {on_cmdline[0].text}", on_cmdline
    prevented = _prevented(load, module)
    if prevented:
        return Answer.NO, prevented, load.evidence
    if load.nested is None:
        return Answer.UNKNOWN, f"its next load is not known: {load.reason}", load.evidence
    if not load.nested and _turns_paging_off(bundle, module.name):
        return Answer.YES, "its next load turns EPT or NPT off, so every guest will reach it", load.evidence
    word = "on" if load.nested else "off"
    return Answer.YES if load.nested else Answer.NO, f"nested will be {word}: {load.said_by}", load.evidence


def _prevented(load: NextLoad, module: KvmModule) -> str:
    """Why the module will not be loaded; empty: it may be."""
    if load.never_happens:
        return f"its next load is replaced: {load.said_by}"
    if load.blacklisting and not module.is_loaded:
        return f"nothing loads it: {load.blacklisting[0].text.strip()}"
    return f"its next load fails: {load.reason}" if load.fails else ""


def _opened_by(next_cmdline: Callable[[], NextCmdline]) -> tuple[Evidence, ...]:
    try:
        return tuple(where for setting, where in next_cmdline().words if setting is Setting.ON)
    except ObservationError:
        return ()


def _turns_paging_off(bundle: Bundle, module: str) -> bool:
    answer = bundle.readings.get(sources.show_depends(module))
    return answer is not None and bool(_PAGING_OFF.search(answer.text))
