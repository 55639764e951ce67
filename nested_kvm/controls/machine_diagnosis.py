"""Whether one machine can run VMs, and its VMs can: from what is seen on that machine alone."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nested_kvm.controls.chain import Pair, walk
from nested_kvm.errors import ObservationError
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Subject
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.link import LinkName
from nested_kvm.model.verdict import Undecided
from nested_kvm.remediation import remediation
from nested_kvm.results.diagnosis import LinkState, SeenLink


class Responsible(StrEnum):
    """Where the cause of a broken link is fixed."""

    MACHINE = "machine"
    """On the machine itself."""
    FIRMWARE = "firmware"
    """In the firmware of the machine, or by another CPU."""
    HYPERVISOR = "hypervisor"
    """On the hypervisor that runs this machine."""


_AS_HOST: Final = (LinkName.L0_CPU, LinkName.L0_FIRMWARE, LinkName.L0_MODULE)
_AS_GUEST: Final = (LinkName.L1_CPU, LinkName.L1_MODULE, LinkName.L1_DEVICE)
_FIRMWARE: Final = frozenset({Cause.CPU_LACKS_FLAG, Cause.FIRMWARE_DISABLED})


@dataclass(frozen=True, slots=True)
class MachineDiagnosis:
    """What one machine can do now, and why not. `warnings` is what changes with its next boot."""

    is_guest: bool | None
    """None: that is not known."""
    runs_vms: Answer
    """Whether VMs run under KVM on it."""
    guests_nest: Answer
    """Whether its KVM offers nesting to its VMs."""
    explanation: str
    cause: Cause | None = None
    responsible: Responsible | None = None
    remediation: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def can_nest(self) -> Answer:
        """A guest nests if it runs VMs itself; a host if its VMs can."""
        return self.runs_vms if self.is_guest else self.guests_nest


def diagnose_machine(machine: Machine) -> MachineDiagnosis:
    """Walk the links of the chain that lie on one machine, up to the first that is broken or was not seen."""
    is_guest = _is_guest(machine) is True
    to_run = _links(machine, _AS_GUEST if is_guest else _AS_HOST)
    runs_vms, access = _answer(to_run), _access(machine) if is_guest else None
    if runs_vms is Answer.YES and access is not None:
        return _refused(machine, access)
    nested = _links(machine, (LinkName.L0_NESTED,))
    guests_nest = _answer([*to_run, *nested])
    decisive = to_run if is_guest else [*to_run, *nested]
    return _explained(machine, decisive, runs_vms, guests_nest)


def _explained(machine: Machine, links: list[SeenLink], runs_vms: Answer, guests_nest: Answer) -> MachineDiagnosis:
    is_guest, warnings = _is_guest(machine), tuple(_warnings(machine))
    finding = next((link.finding for link in links if link.finding is not None), None)
    if finding is not None:
        place = Subject(machine, machine.target.name, machine.target.policy)
        return MachineDiagnosis(
            is_guest,
            runs_vms,
            guests_nest,
            f"{finding.message} ({finding.cause.code})",
            finding.cause,
            _responsible(finding.cause),
            tuple(remediation(place, finding)),
            warnings,
        )
    unseen = next((link for link in links if link.state is LinkState.UNSEEN), None)
    if unseen is not None:
        why = f"{unseen.name} is undetermined: {unseen.text}"
        return MachineDiagnosis(is_guest, runs_vms, guests_nest, why, warnings=warnings)
    return MachineDiagnosis(is_guest, runs_vms, guests_nest, "Every link holds.", warnings=warnings)


def _is_guest(machine: Machine) -> bool | None:
    level = machine.target.level
    return None if level is TargetLevel.AUTO else level is TargetLevel.L1


def _refused(machine: Machine, reason: str) -> MachineDiagnosis:
    cause = Cause.DEV_KVM_NOT_PERMITTED
    explanation = f"/dev/kvm: {reason} ({cause.code})"
    return MachineDiagnosis(
        is_guest=True,
        runs_vms=Answer.NO,
        guests_nest=Answer.NO,
        explanation=explanation,
        cause=cause,
        responsible=Responsible.MACHINE,
        warnings=tuple(_warnings(machine)),
    )


def _links(machine: Machine, names: Iterable[LinkName]) -> list[SeenLink]:
    wanted = frozenset(names)
    as_guest = any(name.value.startswith("l1-") for name in wanted)
    return list(walk(Pair(None if as_guest else machine, machine), wanted))


def _answer(links: Iterable[SeenLink]) -> Answer:
    """No where a link is broken; yes only where each was seen to hold."""
    states = {link.state for link in links}
    if LinkState.BROKEN in states:
        return Answer.NO
    return Answer.YES if states == {LinkState.HOLDS} else Answer.UNKNOWN


def _access(machine: Machine) -> str | None:
    """Why the account that will run VMs may not open the device; None: it may, or that is not known."""
    with suppress(ObservationError, Undecided):
        access = machine.kvm_access
        if access.may_open is Answer.NO:
            return access.reason
    return None


def _responsible(cause: Cause) -> Responsible:
    if cause in {Cause.FLAG_MISSING, Cause.UNDIAGNOSED, Cause.L0_IS_A_GUEST}:
        return Responsible.HYPERVISOR
    return Responsible.FIRMWARE if cause in _FIRMWARE else Responsible.MACHINE


def _warnings(machine: Machine) -> Iterator[str]:
    with suppress(ObservationError):
        load = machine.next_load
        if load.fails:
            yield f"after the next reboot no VM will run under KVM: {load.module}: {load.reason}"
        elif load.nested is False and machine.is_l0:
            by = load.said_by
            yield f"after the next reboot its VMs will not nest: {load.module}: nested will be off, set by {by}"
