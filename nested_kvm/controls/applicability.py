"""Whether a control applies to a subject, and whether the subject could be inspected for it."""

from collections.abc import Iterable
from typing import Final

from nested_kvm.errors import NotCollected, NotObserved, ObservationError
from nested_kvm.facts.kvm.exposure import Exposure
from nested_kvm.facts.modprobe.boot_cmdline import NextCmdline
from nested_kvm.facts.modprobe.boot_load import BootLoad
from nested_kvm.facts.modprobe.load_outcome import NextLoad
from nested_kvm.facts.modprobe.nested_lines import NestedLines
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.answer import Answer
from nested_kvm.model.architecture import ARM64, Architecture, architecture_of
from nested_kvm.model.control import Control
from nested_kvm.model.verdict import NotApplicable, NotChecked, Undecided
from nested_kvm.util.text import printable

_NEXT_BOOT: Final = frozenset({NextLoad, NextCmdline, NestedLines, Exposure, BootLoad})
"""Facts about the next boot: a container's files do not show them for the kernel that it runs on."""
_OF_PARAMETER: Final = frozenset({NextLoad, NestedLines})
_NESTING_PARAMETERS: Final = frozenset({"nested", "mode"})


def check_applies(control: Control, subject: Subject) -> None:
    """Return if the control applies to this subject, and the subject can be inspected.

    What could not be enumerated comes first: no polarity and no architecture makes it compliant.

    Raises:
        NotApplicable: the control does not apply, for its polarity or the machine's architecture.
        Undecided: the policy is guarded, and whether the kernel is fixed is not known.
        NotChecked: the subject is not reachable by design: it has no address.
        Undecided: the target's own configuration forbids inspecting it, or the control cannot decide there.
        ObservationError: the target was not observed.
    """
    if subject.unlisted is not None:
        raise (NotObserved if subject.machine.bundle.origin is None else NotCollected)(subject.unlisted)
    if subject.policy.is_guarded:
        _check_observed(control, subject)
    _check_polarity(control, subject)
    _check_observed(control, subject)
    _check_machine(control, subject)
    if subject.unidentified is not None:
        raise Undecided(subject.unidentified)


def _check_polarity(control: Control, subject: Subject) -> None:
    if control.only is None:
        return
    policy = subject.effective_policy
    if policy.polarity is control.only:
        return
    raise NotApplicable(f"applies only where nested is {control.only}; here it is {policy.reason}")


def _check_observed(control: Control, subject: Subject) -> None:
    machine = subject.machine
    if machine.target.address is None:
        if control.decides and machine.target.host is not None and subject.host is None:
            raise NotObserved(f"its host {machine.target.host} was not inspected in this run, and it has no address")
        raise NotChecked(f"{machine.target.name} is checked from its L0 only: it has no address, or was not selected")
    failure = machine.bundle.failure
    if failure is not None:
        raise Undecided(failure.message) if failure.is_unknown else ObservationError(failure.message)


def _check_machine(control: Control, subject: Subject) -> None:
    machine = subject.machine
    here = architecture_of(machine.architecture)
    if control.architectures is not None and here not in control.architectures:
        message = _inapplicable(control.architectures, here, machine.architecture)
        # A deciding control that cannot be asked decides nothing; elsewhere another control decides in its place.
        if control.decides and (here is None or machine.is_for_candidate):
            raise Undecided(message)
        _check_no_parameter(control, machine, here)
        raise NotApplicable(message)
    if not _NEXT_BOOT.isdisjoint(control.facts) and machine.containment.is_container is not Answer.NO:
        reason = machine.containment.reason
        raise Undecided(f"{reason}; a container's files do not configure the next boot", *machine.containment.evidence)


def _check_no_parameter(control: Control, machine: Machine, here: Architecture | None) -> None:
    """Where the command line alone turns nesting on, find out that KVM has no parameter that might do so as well."""
    if here is not ARM64 or _OF_PARAMETER.isdisjoint(control.facts):
        return
    module = machine.kvm_module
    names = sorted(_NESTING_PARAMETERS & {*module.parameters, *module.unreadable})
    if names:
        message = f"{module.name} has the parameter {', '.join(names)} on {here.name}: its next value is not evaluated"
        raise Undecided(message, *module.evidence)


def _inapplicable(known: Iterable[Architecture], here: Architecture | None, machine: str) -> str:
    way = "where nesting is not known" if here is None else f"where {here.way}"
    return f"applies to {', '.join(each.name for each in known)}; this machine is {printable(machine)}, {way}"
