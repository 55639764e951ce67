"""A guest of an estate: its definition in the estate, beside what its host's own processes show."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from nested_kvm.errors import NotCollected
from nested_kvm.evidence.bundle import DomainRecord
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml
from nested_kvm.facts.kvm.vm_holders import VmHolders
from nested_kvm.facts.kvm.vmm_guest import domain_of_process
from nested_kvm.facts.kvm.vmm_process import Ambiguous, VmmProcesses
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition, cpu_definition_of
from nested_kvm.facts.libvirt.domain import Domain, ProcessCheck
from nested_kvm.facts.libvirt.saved_states import SavedCpu
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class DefinedGuest:
    """One guest on one host, as its estate defines it."""

    domain: Domain
    """What the guest's next start gives it."""
    process_name: str
    """The name, or the uuid, of its QEMU process."""
    running: str | None = None
    """Where the estate shows that the guest runs on this host; None: it does not show it."""
    live_cpu: CpuDefinition | None = None
    """The definition that it was started with, where the estate shows that."""
    shares_name: bool = False
    """Whether another guest on the host has a process of the same name."""
    saved: tuple[SavedCpu, ...] = ()
    """The saved states with memory of which the estate shows the CPU."""
    unread_states: tuple[str, ...] = ()
    """A sentence for each other saved state that would bring an older CPU back, or may."""

    def on_its_host(
        self,
        processes: Callable[[], VmmProcesses],
        holders: VmHolders | None,
        version: int | None,
        records: Iterable[DomainRecord] = (),
    ) -> Domain:
        """The domain with the CPU that it runs with now, by its process.

        `records` are the domains of a support archive, whose live XML stands in for processes that it does not hold.

        Raises:
            ObservationError: the processes of the host could not be inspected, or which of them is the guest's.
        """
        try:
            seen = processes()
        except NotCollected as reason:
            record = next((each for each in records if each.name == self.process_name and each.live_xml), None)
            if record is not None and not self.shares_name:
                return self._by_live_xml(record)
            return self._without_process(f"whether it runs, and how, is not known: {reason}", ())
        process = seen.find(self.process_name)
        if process is not None and self.shares_name:
            raise Ambiguous(
                f"several guests on this host are called {self.process_name}: whose process {process.pid} is"
                " is not known",
                *process.evidence,
            )
        if process is not None:
            live = domain_of_process(process, holders, version)
            return replace(
                self.domain, state="running", live_cpu=live.cpu, live_type=live.type, process=process.source,
                vmm=live.vmm,
            )  # fmt: skip
        if not seen.are_all:
            return self._without_process("whether it runs is not known: processes of other accounts are hidden", ())
        if self.running is not None:
            doubt = f"{self.running} shows that it runs here, and no process of it was found"
            return self._without_process(doubt, seen.evidence)
        return replace(self.domain, state="not running (no process of it was found)")

    def _by_live_xml(self, record: DomainRecord) -> Domain:
        live = parse_domain_xml(record.live_xml or "")
        return replace(
            self.domain,
            state="running",
            live_cpu=cpu_definition_of(live),
            live_type=live.get("type"),
            process=f"virsh dumpxml {record.name}",
        )

    def _without_process(self, doubt: str, evidence: tuple[Evidence, ...]) -> Domain:
        state = "not known to run" if self.running is None else f"running, as {self.running} shows"
        check = ProcessCheck(doubt=doubt, evidence=evidence)
        return replace(self.domain, state=state, live_cpu=self.live_cpu, process_check=check)
