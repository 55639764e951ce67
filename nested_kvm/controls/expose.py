"""The exposure of each host, for the head of the reports and the metrics."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

from nested_kvm.errors import ObservationError
from nested_kvm.facts.kvm.exposure import CveState, Exposure
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.model.answer import Answer
from nested_kvm.model.control import Level
from nested_kvm.model.policy import Nested
from nested_kvm.model.verdict import Undecided
from nested_kvm.results.exposure import CveExposure, HostExposure

Limit = Callable[[str], AbstractContextManager[None]]


def exposures(fleet: Fleet, limit: Limit) -> Iterator[HostExposure]:
    """One for each host whose kernel was inspected; the others are errors of L0-SEC-03, or of another architecture."""
    for host in fleet.subjects(Level.L0):
        with suppress(ObservationError), limit(host.machine.target.name):
            yield _of_host(host)


def _of_host(host: Subject) -> HostExposure:
    machine, found = host.machine, host.machine.exposure
    package = f" ({found.build.package})" if found.build.package else ""
    return HostExposure(
        target=machine.target.name,
        kernel=f"{found.build.release}{package}",
        reach=found.reach.reason,
        cves=tuple(_cve(found, each) for each in found.states),
        guests=machine.flag_holders.names,
        device_is_open=_is_device_open(machine),
        forbids=_forbids(host),
        installed_fix=None if found.installed_fix is None else found.installed_fix.text,
    )


def _cve(found: Exposure, state: CveState) -> CveExposure:
    advisory = state.advisory
    return CveExposure(
        id=advisory.id,
        name=advisory.name,
        published=advisory.published,
        is_fixed=state.is_fixed,
        reached=_reached(found, state),
        reason=state.reason,
        proof=state.evidence[-1] if state.evidence else None,
    )


def _reached(found: Exposure, state: CveState) -> Answer:
    """Whether guests reach it, now or after the next load: what opens by itself is not closed."""
    reach = found.reach_of(state.advisory)
    if reach.now is Answer.NO and reach.later is not Answer.NO:
        return Answer.UNKNOWN
    return reach.now


def _is_device_open(machine: Machine) -> bool:
    try:
        return machine.kvm_device.is_kvm and machine.kvm_device.is_open_to_others
    except ObservationError:
        return False


def _forbids(host: Subject) -> bool:
    try:
        return host.effective_policy.polarity is Nested.FORBIDDEN
    except (Undecided, ObservationError):
        return False
