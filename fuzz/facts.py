"""Every fact of a machine, asked for at once: one that cannot be had may say so, and nothing else."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property

from fuzz import seeds
from nested_kvm.controls.diagnose import diagnose
from nested_kvm.errors import ObservationError
from nested_kvm.evidence.bundle import Bundle, LibvirtAnswer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy

_FACTS = [name for name, value in vars(Machine).items() if isinstance(value, cached_property)]
_TARGET = Target("kvm-a", TargetLevel.L0, Address.parse("kvm-a"), Policy(), libvirt="qemu:///system")
_GUEST = Target("ci-1", TargetLevel.L1, None, Policy(), host="kvm-a", domain="ci-1")
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def machine_with(texts: Mapping[str, str], libvirt: LibvirtAnswer | None = None) -> Machine:
    """A complete host on AMD, some of its readings replaced; without libvirt unless that is given."""
    readings = dict(seeds.complete_host())
    for source, text in texts.items():
        known = readings.get(source, Reading(source, Status.OK))
        readings[source] = replace(known, status=Status.OK, text=text, exit_status=known.exit_status and 0)
    target = _TARGET if libvirt is not None else replace(_TARGET, libvirt=None)
    return Machine(Bundle(target, _NOW, "0", readings, libvirt=libvirt))


def every_fact(machine: Machine) -> None:
    """Ask for all of them, for every domain, and for the diagnosis of a guest."""
    for name in _FACTS:
        with suppress(ObservationError):
            getattr(machine, name)
    fleet = Fleet([machine, Machine(Bundle(_GUEST, _NOW, "0"))])
    for subjects in (fleet.subjects(level) for level in seeds.LEVELS):
        for subject in subjects:
            with suppress(ObservationError):
                subject.machine.nested_activity(subject.domain)
            if subject.domain is not None:
                with suppress(ObservationError):
                    subject.machine.domain(subject.domain)
    list(diagnose(fleet))
