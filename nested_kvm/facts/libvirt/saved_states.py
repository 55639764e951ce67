"""The saved states of a domain with its memory, and the CPU that each brings back.

Of a managed save or a snapshot with memory libvirt shows the XML that the domain ran with:

    <domain type='kvm'><name>ci-1</name><cpu mode='custom'><model>qemu64</model></cpu></domain>
"""

from collections.abc import Iterator
from dataclasses import dataclass

from nested_kvm.evidence.bundle import DomainRecord, SavedState
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition, Promise, cpu_definition_of
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class SavedCpu:
    """The CPU of one saved state: `cpu` is what the domain ran with when it was saved."""

    source: str
    """Where to find the saved state."""
    snapshot: str | None
    """The snapshot's name; None: what the next start restores by itself, as a managed save."""
    type: str
    cpu: CpuDefinition

    @property
    def evidence(self) -> Evidence:
        """The saved domain's type and CPU."""
        return Evidence(self.source, f"type={self.type}, cpu: {self.cpu.text}")

    def promise(self, vendor: Vendor) -> Promise:
        """Whether a restore brings back a CPU with `vendor`'s flag.

        A copy of the host's CPU has what the host offered at that time, which the state does not name: with nested off
        it lacked the flag.
        """
        if self.type != "kvm":
            return Promise(Answer.NO, f"saved as an emulated domain, of type {self.type}")
        promise = self.cpu.promise(vendor)
        if promise.gives_flag is Answer.YES and self.cpu.copies_host:
            missing = f"whether the host offered {vendor.flag} at that start"
            return Promise(Answer.UNKNOWN, f"saved with {self.cpu.mode}; {missing} is not recorded in it")
        return promise


@dataclass(frozen=True, slots=True)
class SavedStates:
    """All saved states of a domain with memory. `unread` has a sentence for each that could not be read.

    Source: libvirt's XML of the domain's managed save, and of its snapshots with memory; `runningcpu` of a guest's conf
    on Proxmox VE.
    """

    states: tuple[SavedCpu, ...]
    unread: tuple[str, ...] = ()

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The CPU of each saved state."""
        return tuple(state.evidence for state in self.states)

    def lacking(self, vendor: Vendor) -> tuple[SavedCpu, ...]:
        """The saved states that certainly lack the flag."""
        return tuple(state for state in self.states if state.promise(vendor).gives_flag is Answer.NO)

    def having(self, vendor: Vendor) -> tuple[SavedCpu, ...]:
        """The saved states that certainly have the flag."""
        return tuple(state for state in self.states if state.promise(vendor).gives_flag is Answer.YES)

    def undecided(self, vendor: Vendor) -> tuple[str, ...]:
        """Why it is not known of other saved states whether they have the flag, one sentence each."""
        promises = ((state.source, state.promise(vendor)) for state in self.states)
        open_ones = (f"{source}: {each.reason}" for source, each in promises if each.gives_flag is Answer.UNKNOWN)
        return (*open_ones, *self.unread)


def saved_states_of(record: DomainRecord) -> SavedStates:
    """The saved states in libvirt's record of a domain."""
    if record.saved_states is None:
        return SavedStates((), (f"the saved states of {record.name} were not queried",))
    read = tuple(_read(record, record.saved_states))
    return SavedStates(read, tuple(_unread(record, record.saved_states)))


def _read(record: DomainRecord, states: tuple[SavedState, ...]) -> Iterator[SavedCpu]:
    for state in states:
        if state.xml is not None:
            root = parse_domain_xml(state.xml)
            yield SavedCpu(_source(record, state), state.snapshot, root.get("type", ""), cpu_definition_of(root))


def _unread(record: DomainRecord, states: tuple[SavedState, ...]) -> Iterator[str]:
    for state in states:
        if state.xml is None:
            yield f"{_source(record, state)}: {state.problem or 'its XML was not read'}"
    if record.has_managed_save is None:
        yield f"whether {record.name} has a managed save is not known"
    if record.saved_problem is not None:
        yield f"{record.name} may have other snapshots: {record.saved_problem}"


def _source(record: DomainRecord, state: SavedState) -> str:
    if state.snapshot is None:
        return f"virsh managedsave-dumpxml {record.name}"
    return f"virsh snapshot-dumpxml {record.name} {state.snapshot}"
