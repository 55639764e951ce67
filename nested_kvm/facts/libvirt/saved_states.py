"""What is saved of a domain with its memory, and which CPU comes back from it."""

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
    """One saved state, as live as it was: `cpu` is what the domain ran with."""

    source: str
    """Where a person finds it."""
    snapshot: str | None
    """None: it is the managed save."""
    type: str
    cpu: CpuDefinition

    @property
    def evidence(self) -> Evidence:
        """Its type and its CPU."""
        return Evidence(self.source, f"type={self.type}, cpu: {self.cpu.text}")

    def promise(self, vendor: Vendor) -> Promise:
        """Whether what comes back from it has `vendor`'s flag.

        A copy of the host's CPU had what the host offered then, and the XML names none of it: with nested off it
        lacked the flag.
        """
        if self.type != "kvm":
            return Promise(Answer.NO, f"it was saved with the type {self.type}, emulated")
        promise = self.cpu.promise(vendor)
        if promise.gives_flag is Answer.YES and self.cpu.copies_host:
            missing = f"whether the host offered {vendor.flag} when it was started"
            return Promise(Answer.UNKNOWN, f"it was saved with {self.cpu.mode}, and {missing} is not in what was saved")
        return promise


@dataclass(frozen=True, slots=True)
class SavedStates:
    """All that would bring a domain back with its memory. `unread` has a sentence for each that cannot be told.

    Source: libvirt's XML of the domain's managed save, and of its snapshots with memory.
    """

    states: tuple[SavedCpu, ...]
    unread: tuple[str, ...] = ()

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Each of them."""
        return tuple(state.evidence for state in self.states)

    def lacking(self, vendor: Vendor) -> tuple[SavedCpu, ...]:
        """Those that surely lack the flag."""
        return tuple(state for state in self.states if state.promise(vendor).gives_flag is Answer.NO)

    def undecided(self, vendor: Vendor) -> tuple[str, ...]:
        """Why others may lack it."""
        promises = ((state.source, state.promise(vendor)) for state in self.states)
        open_ones = (f"{source}: {each.reason}" for source, each in promises if each.gives_flag is Answer.UNKNOWN)
        return (*open_ones, *self.unread)


def saved_states_of(record: DomainRecord) -> SavedStates:
    """What libvirt's record tells of them."""
    if record.saved_states is None:
        return SavedStates((), (f"what is saved of {record.name} was not asked for",))
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
    if record.saved_problem is not None:
        yield f"there may be other snapshots of {record.name}: {record.saved_problem}"


def _source(record: DomainRecord, state: SavedState) -> str:
    if state.snapshot is None:
        return f"virsh managedsave-dumpxml {record.name}"
    return f"virsh snapshot-dumpxml {record.name} {state.snapshot}"
