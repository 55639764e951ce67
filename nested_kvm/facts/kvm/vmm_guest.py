"""The guests of a machine's VMM processes: whether each runs under KVM, and whether its VMM gives it the flag."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.process_check import runs_under_kvm
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.facts.kvm.vm_holders import VmHolders
from nested_kvm.facts.kvm.vmm_process import VmmProcess, VmmProcesses
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence

_CLOUD_HYPERVISOR: Final = "cloud-hyp"
_FIRECRACKER: Final = "firecr"


@dataclass(frozen=True, slots=True)
class VmmGuests:
    """The guests whose VMM gives them the flag. `undecided` has a sentence for each guest that is not known.

    Source: the arguments of each VMM process in `/proc`, and the holders of VMs in `/proc/<pid>/fd`.
    """

    with_flag: tuple[str, ...]
    undecided: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    """The processes that give the flag; where none does, all that were inspected."""


@dataclass(frozen=True, slots=True)
class FlagHolders:
    """The guests whose running CPU has the flag, and a sentence for each of which that is not known.

    Source: the arguments of each VMM process in `/proc`, and the holders of VMs in `/proc/<pid>/fd`.
    """

    names: tuple[str, ...]
    undecided: tuple[str, ...]

    @property
    def text(self) -> str:
        """The guests, in words behind a semicolon; empty: none is known."""
        return f"; guests that hold the flag now: {', '.join(self.names)}" if self.names else ""


def domain_of_process(process: VmmProcess, holders: VmHolders | None) -> Domain:
    """The domain of a QEMU process without libvirt: its running CPU is its only definition.

    Raises:
        NotObserved: the process is not QEMU, or whether it runs under KVM was not observed.
    """
    if not process.is_qemu:
        raise NotObserved(f"{process.label} is run by {process.program}, whose arguments do not show the CPU")
    under_kvm = runs_under_kvm(process, holders)
    if under_kvm is None:
        raise NotObserved(
            f"whether {process.label} runs under KVM is not known: only root can see which process holds a VM"
        )
    if not under_kvm and process.accelerators and set(process.accelerators) == {"kvm"}:
        raise NotObserved(f"process {process.pid} was started with KVM alone, and no VM was found that it holds")
    cpu = qemu_cpu_definition(process.cpu, process.machine, process.properties, process.config)
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


def vmm_guests_of(
    processes: VmmProcesses, holders: VmHolders | None, vendor: Vendor, domains: Sequence[Domain] = ()
) -> VmmGuests:
    """The guests that get the flag under KVM.

    `domains` are libvirt's running ones: a process that withholds what its domain exposes leaves it undecided.
    """
    given = [(process, *_given(process, holders, vendor)) for process in processes.processes]
    undecided = [reason for _, answer, reason in given if answer is Answer.UNKNOWN]
    undecided += [f"{domain.name}: {reason}" for domain in domains if (reason := _unconfirmed(domain, vendor))]
    undecided += _unknown_holders(processes, holders)
    if not processes.are_all:
        undecided.append("processes of other accounts may be hidden")
    givers = [process for process, answer, _ in given if answer is Answer.YES]
    evidence = tuple(item for process in givers for item in process.evidence) or processes.evidence
    return VmmGuests(tuple(process.label for process in givers), tuple(undecided), evidence)


def _given(process: VmmProcess, holders: VmHolders | None, vendor: Vendor) -> tuple[Answer, str]:
    if process.program.startswith(_CLOUD_HYPERVISOR):
        return _by_cloud_hypervisor(process, vendor)
    if process.program.startswith(_FIRECRACKER):
        return Answer.UNKNOWN, f"{process.label}: Firecracker's CPU template decides, which its arguments do not show"
    try:
        domain = domain_of_process(process, holders)
    except NotObserved as reason:
        return Answer.UNKNOWN, str(reason)
    if not domain.runs_under_kvm:
        return Answer.NO, "the guest does not run under KVM"
    promise = domain.promise(vendor)
    return promise.gives_flag, f"{process.label}: {promise.reason}"


def _by_cloud_hypervisor(process: VmmProcess, vendor: Vendor) -> tuple[Answer, str]:
    """Cloud Hypervisor exposes nesting unless `--cpus` has nested=off, which did nothing on AMD before its v52."""
    options = dict(part.partition("=")[::2] for part in (process.cpus or "").split(","))
    if process.cpus is None:
        return Answer.UNKNOWN, f"{process.label}: its API defines its CPU, which its arguments do not show"
    if options.get("nested", "on") == "on":
        return Answer.YES, f"{process.label}: --cpus {process.cpus} exposes nesting, as is the default"
    if vendor is Vendor.AMD:
        return Answer.UNKNOWN, f"{process.label}: nested={options['nested']} does nothing on AMD before v52"
    return Answer.NO, f"{process.label}: --cpus has nested={options['nested']}"


def _unconfirmed(domain: Domain, vendor: Vendor) -> str | None:
    """Why a domain may have the flag although no process was found to give it."""
    check, live = domain.process_check, domain.live_cpu
    if check.doubt is not None:
        return check.doubt
    is_promised = live is not None and live.promise(vendor).gives_flag is Answer.YES
    return check.contradiction if is_promised else None


def _unknown_holders(processes: VmmProcesses, holders: VmHolders | None) -> list[str]:
    """The processes that hold a VM and are not a known VMM: what their guests get is not known.

    The probe always looks for them: where that is missing, nothing is known of any.
    """
    known = {process.pid for process in processes.processes}
    if holders is None:
        return ["which processes hold a VM was not inspected"]
    unknown = [str(pid) for pid in holders.pids if pid not in known]
    return [f"process {pid} runs a VM, and its program is not a known VMM" for pid in unknown]
