"""Whether a host's guests, or a guest, will nest after the next boot of the host.

What counts is what the boot changes: the module's next load, the next command line, files that do not last, and a
domain that starts with its persistent definition. Yes is only what was seen to hold.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nested_kvm.controls.chain import Pair
from nested_kvm.errors import ObservationError
from nested_kvm.facts.kernel.parameter import Setting
from nested_kvm.facts.libvirt.usable_flag import why_not_usable
from nested_kvm.fleet.machine import Machine
from nested_kvm.model.answer import Answer
from nested_kvm.model.architecture import ARM64, architecture_of
from nested_kvm.model.cause import Cause
from nested_kvm.model.link import LinkName
from nested_kvm.model.verdict import Evidence, Undecided
from nested_kvm.results.diagnosis import LinkState, SeenLink

_LASTING: Final = frozenset({Cause.KERNEL_LACKS_KVM, Cause.GUEST_KERNEL_LACKS_KVM, Cause.NO_MODULES})
"""Why KVM is not loaded, where another boot of the same kernel does not change that."""


@dataclass(frozen=True, slots=True)
class State:
    """One answer, and what shows it."""

    answer: Answer
    reason: str = ""
    cause: Cause | None = None
    source: str = ""


YES: Final = State(Answer.YES)


def host_after_boot(machine: Machine, links: list[SeenLink]) -> State:
    """Whether the guests of a host will nest: yes only where its CPU, firmware and module hold now as well."""
    for link in links:
        finding = link.finding
        is_lasting = link.name in {LinkName.L0_CPU, LinkName.L0_FIRMWARE}
        if finding is not None and (is_lasting or finding.cause in _LASTING):
            return State(Answer.NO, link.text, finding.cause, first_source(finding.evidence))
    try:
        later = _by_command_line(machine) or _by_next_load(machine)
    except (ObservationError, Undecided) as error:
        return State(Answer.UNKNOWN, str(error))
    open_links = [each for each in links if each.state is not LinkState.HOLDS and each.name is not LinkName.L0_NESTED]
    if later.answer is Answer.YES and open_links:
        return State(Answer.UNKNOWN, f"{open_links[0].name} does not hold now: {open_links[0].text}")
    return later


def certainly_off(machine: Machine, later: State) -> State:
    """Where nesting must be off, no is only what nothing may contradict: the next command line was read, files last."""
    if later.answer is not Answer.NO:
        return later
    try:
        pvm, load = machine.kvm_module.pvm, machine.next_load
        is_named = load.nested and load.is_left_alone(is_loaded=machine.kvm_module.is_loaded) is Answer.UNKNOWN
        line, lasting = machine.next_cmdline, machine.lasting_settings
        is_by_firmware_alone = later.cause is Cause.FIRMWARE_DISABLED and machine.next_load.nested
    except ObservationError as error:
        return State(Answer.UNKNOWN, str(error))
    lost = line.lost_for(nested=False)
    gone = f"{lost[0].text} is not on the next boot's command line" if lost else ""
    beside = "PVM is loaded, and whether a boot loads it is not known" if pvm else ""
    alone = "only the firmware keeps nesting off: once KVM starts, it turns it on" if is_by_firmware_alone else ""
    reason = line.unknown or lasting.unknown or gone or alone or beside or (load.loaded_by_name if is_named else "")
    return State(Answer.UNKNOWN, reason) if reason else later


def _by_command_line(machine: Machine) -> State | None:
    """What the next boot's command line decides; None: the module's next load does."""
    if machine.containment.is_container is not Answer.NO:
        return State(Answer.UNKNOWN, "a container's files do not configure the next boot")
    line = machine.next_cmdline
    against = line.against(nested=True)
    if against:
        blocks = against[0] in line.blocking
        cause = Cause.LOAD_BLOCKED if blocks else Cause.CMDLINE_OVERRIDES
        return State(Answer.NO, f"the next boot's command line has {against[0].text}", cause, against[0].source)
    if architecture_of(machine.architecture) is not ARM64:
        return None
    is_on = any(setting is Setting.ON for setting, _ in line.words) and not line.unknown
    return YES if is_on else State(Answer.UNKNOWN, line.unknown or "the next boot's command line is not known")


def _by_next_load(machine: Machine) -> State:
    """What the next load gives, unless something keeps it from happening."""
    load, blocking = machine.next_load, machine.nested_lines.blocking
    if load.fails:
        return State(Answer.NO, load.reason, Cause.PERSISTED_VALUE_INVALID, first_source(load.origin))
    if blocking:
        return State(Answer.NO, "it is kept from loading", Cause.LOAD_BLOCKED, blocking[0].source)
    boot = machine.boot_load
    if boot.loads is Answer.NO:
        return State(Answer.NO, boot.reason, Cause.LOADED_MANUALLY, first_source(boot.evidence))
    return _by_value(machine)


def _by_value(machine: Machine) -> State:
    """What nested will be: the next boot's command line wins over the files, as far as these are still there."""
    load, line = machine.next_load, machine.next_cmdline
    on = [where for setting, where in line.words if setting is Setting.ON]
    if on and load.nested is not None and not line.unknown:
        return _doubts(machine) or State(Answer.YES, "", Cause.CMDLINE_OVERRIDES, on[0].source)
    if load.nested is None:
        return State(Answer.UNKNOWN, load.reason, source=first_source(load.origin))
    if machine.lasting_settings.lost:
        return _without_lost_files(machine)
    if not load.nested:
        return State(Answer.NO, f"nested is set by {load.said_by}", Cause.PERSISTED_OFF, first_source(load.origin))
    return _doubts(machine) or State(Answer.YES, "", Cause.PERSISTED_ON, first_source(load.origin))


def _without_lost_files(machine: Machine) -> State:
    """What the kernel's default gives, where the file that decides is gone by then."""
    default, lasting = machine.next_load.default, machine.lasting_settings
    if default is None:
        return State(Answer.UNKNOWN, f"{lasting.reason}, and the kernel's default is not known")
    if not default:
        return State(Answer.NO, lasting.reason, Cause.VOLATILE_CONFIGURATION, lasting.lost[0].source)
    return _doubts(machine) or State(Answer.YES, "the kernel's default", Cause.PERSISTED_ON)


def _doubts(machine: Machine) -> State | None:
    """Why the next boot may not bring what the files say; None: nothing that was read says so."""
    load, line, lasting = machine.next_load, machine.next_cmdline, machine.lasting_settings
    absent = not machine.kvm_module.is_loaded
    boot = machine.boot_load
    unsure = boot.reason if boot.loads is Answer.UNKNOWN else ""
    doubts = (load.doubt, machine.kvm_absence.doubt if absent else "", line.unknown, lasting.unknown, unsure)
    lost = line.lost_for(nested=True)
    gone = f"{lost[0].text} is not on the next boot's command line" if lost else ""
    reason = next(filter(None, (*doubts, gone)), "")
    return State(Answer.UNKNOWN, reason) if reason else None


def guest_after_boot(pair: Pair, now: State, host: State | None) -> State:
    """No by the host, the definition or the guest's own next load; yes only where it nests now and all three hold."""
    if host is not None and host.answer is Answer.NO:
        return host
    definition = _by_definition(pair)
    if definition.answer is Answer.NO:
        return definition
    own = _by_own_load(pair)
    if own.answer is Answer.NO:
        return own
    if now.answer is Answer.NO and now.cause in _LASTING | {Cause.DOMAIN_EMULATED}:
        return now
    if now.answer is not Answer.YES:
        return State(Answer.UNKNOWN, "it does not nest now" if now.answer is Answer.NO else now.reason)
    states = (host or State(Answer.UNKNOWN, "its host was not inspected"), definition, own)
    return next((each for each in states if each.answer is not Answer.YES), YES)


def _by_definition(pair: Pair) -> State:
    try:
        vendor = pair.host.cpu.require_vendor()
        domain = pair.domain
        if domain.cpu.memory_encryption is not None:
            return State(Answer.NO, "its memory is encrypted", Cause.MEMORY_ENCRYPTION, first_source(domain.evidence))
        promise, unusable = domain.promise(vendor), domain.why_not_usable([vendor])
    except (ObservationError, Undecided) as error:
        return State(Answer.UNKNOWN, str(error))
    live = domain.live_cpu
    if unusable is not None and (live is None or why_not_usable(live, vendor) is None):
        return State(Answer.UNKNOWN, unusable)
    cause = promise.cause or Cause.FEATURE_DISABLED if promise.gives_flag is Answer.NO else None
    return State(promise.gives_flag, promise.reason, cause, first_source(domain.evidence))


def _by_own_load(pair: Pair) -> State:
    """The next load of the guest's own module, whose value of nested does not matter for its own VMs."""
    try:
        load = pair.inside.next_load
        if load.fails:
            return State(Answer.NO, load.reason, Cause.PERSISTED_VALUE_INVALID, first_source(load.origin))
        if load.never_happens or load.blacklisting:
            sources = load.blacklisting or load.origin
            return State(Answer.NO, "its module is kept from loading", Cause.LOAD_BLOCKED, first_source(sources))
        boot = pair.inside.boot_load
        if boot.loads is Answer.NO:
            return State(Answer.NO, boot.reason, Cause.LOADED_MANUALLY, first_source(boot.evidence))
        if load.doubt or boot.loads is Answer.UNKNOWN:
            return State(Answer.UNKNOWN, load.doubt or boot.reason)
    except (ObservationError, Undecided) as error:
        return State(Answer.UNKNOWN, str(error))
    return YES


def first_source(evidence: Iterable[Evidence]) -> str:
    """The first reading that is quoted; empty: none is."""
    return next((item.source for item in evidence), "")
