"""The guests of a machine's VMM processes: whether each runs under KVM, and whether its VMM gives it the flag."""

from dataclasses import dataclass

from nested_kvm.errors import NotObserved
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.facts.kvm.vm_holders import VmHolders
from nested_kvm.facts.kvm.vmm_process import VmmProcess, VmmProcesses
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class VmmGuests:
    """The guests whose VMM gives them the flag. `undecided` has a sentence for each guest that is not known.

    Source: the arguments of each VMM process in `/proc`, and the holders of VMs in `/proc/<pid>/fd`.
    """

    with_flag: tuple[str, ...]
    undecided: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    """The processes that give the flag; where none does, all that were inspected."""


def domain_of_process(process: VmmProcess, holders: VmHolders | None) -> Domain:
    """The domain of a QEMU process without libvirt: its running CPU is its only definition.

    Raises:
        NotObserved: the process is not QEMU, or whether it runs under KVM was not observed.
    """
    if not process.is_qemu:
        raise NotObserved(f"{process.label} is run by {process.program}, whose arguments do not show the CPU")
    under_kvm = _runs_under_kvm(process, holders)
    if under_kvm is None:
        raise NotObserved(
            f"whether {process.label} runs under KVM is not known: only root can see which process holds a VM"
        )
    cpu = qemu_cpu_definition(process.cpu, process.machine)
    return Domain(
        name=process.label,
        uuid=process.uuid or "",
        type="kvm" if under_kvm else "qemu",
        state="running",
        is_transient=True,
        cpu=cpu,
        live_cpu=cpu,
        process=process.source,
    )


def vmm_guests_of(processes: VmmProcesses, holders: VmHolders | None, vendor: Vendor) -> VmmGuests:
    """The guests that get the flag under KVM."""
    given = [(process, *_given(process, holders, vendor)) for process in processes.processes]
    undecided = [reason for _, answer, reason in given if answer is Answer.UNKNOWN]
    if not processes.are_all:
        undecided.append("processes of other accounts may be hidden")
    givers = [process for process, answer, _ in given if answer is Answer.YES]
    evidence = tuple(item for process in givers for item in process.evidence) or processes.evidence
    return VmmGuests(tuple(process.label for process in givers), tuple(undecided), evidence)


def _given(process: VmmProcess, holders: VmHolders | None, vendor: Vendor) -> tuple[Answer, str]:
    try:
        domain = domain_of_process(process, holders)
    except NotObserved as reason:
        return Answer.UNKNOWN, str(reason)
    if not domain.runs_under_kvm:
        return Answer.NO, "the guest does not run under KVM"
    promise = domain.promise(vendor)
    return promise.gives_flag, f"{process.label}: {promise.reason}"


def _runs_under_kvm(process: VmmProcess, holders: VmHolders | None) -> bool | None:
    """Decide from the holders of VMs, which is certain; else from -accel, if QEMU is given a single accelerator.

    Of several accelerators QEMU takes the first that works.
    """
    if holders is not None and process.pid in holders.pids:
        return True
    if holders is not None and holders.are_all:
        return False
    chosen = set(process.accelerators)
    if chosen == {"kvm"} or (chosen and process.accelerators[0] == "tcg"):
        return chosen == {"kvm"}
    return None
