"""Compare the QEMU process of a running domain with the domain's live XML.

The XML is what libvirt asked for; the process is what was started. An emulator that is a wrapper, or a process that
took the domain's place, makes them differ, as in

    <cpu mode='host-passthrough'/>        421 cpu=qemu64
"""

from dataclasses import replace

from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.facts.kvm.vm_holders import VmHolders
from nested_kvm.facts.kvm.vmm_process import Ambiguous, VmmProcess, VmmProcesses
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition
from nested_kvm.facts.libvirt.domain import Domain, ProcessCheck
from nested_kvm.model.answer import Answer


def with_process(domain: Domain, processes: VmmProcesses, holders: VmHolders | None, vendor: Vendor) -> Domain:
    """The domain with the comparison of its XML and its process; as it is where its process may be hidden."""
    try:
        process = processes.of_domain(domain.uuid, domain.name)
    except Ambiguous as reason:
        return replace(domain, process_check=ProcessCheck(doubt=reason.message, evidence=reason.evidence))
    live = domain.live_cpu
    if live is not None and process is None and _are_visible(domain, processes, holders):
        doubt = f"libvirt runs {domain.name}, and no process of it was found"
        return replace(domain, process_check=ProcessCheck(doubt=doubt, evidence=processes.evidence))
    if live is None and process is not None:
        doubt = f"libvirt does not run {domain.name}, and process {process.pid} is given its name or its uuid"
        return replace(domain, process_check=_doubt(process, doubt))
    if live is None or process is None or not process.is_qemu:
        return domain
    return replace(domain, process_check=_checked(domain, live, process, holders, vendor))


def _are_visible(domain: Domain, processes: VmmProcesses, holders: VmHolders | None) -> bool:
    """Whether the probe saw the processes of every account: then that of the domain had to be among them."""
    holds_vm = (domain.live_type or domain.type) == "kvm"
    return processes.are_all or (holders is not None and holders.are_all and (holds_vm or bool(holders.pids)))


def runs_under_kvm(process: VmmProcess, holders: VmHolders | None) -> bool | None:
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


def _checked(
    domain: Domain, live: CpuDefinition, process: VmmProcess, holders: VmHolders | None, vendor: Vendor
) -> ProcessCheck:
    wanted, uses = (domain.live_type or domain.type) == "kvm", runs_under_kvm(process, holders)
    if wanted and uses is False:
        if "tcg" not in process.accelerators:
            return _doubt(process, f"process {process.pid} holds no VM, though nothing asks it to emulate")
        return _contradiction(process, f"process {process.pid} runs without KVM; the XML says type kvm")
    if uses and not wanted:
        return _contradiction(process, f"process {process.pid} runs under KVM; the XML says type {domain.live_type}")
    return _compared(domain, live, process, vendor) if wanted else ProcessCheck()


def _compared(domain: Domain, live: CpuDefinition, process: VmmProcess, vendor: Vendor) -> ProcessCheck:
    cpu = qemu_cpu_definition(process.cpu, process.machine, process.properties, process.config)
    in_xml, in_process = live.promise(vendor).gives_flag, cpu.promise(vendor).gives_flag
    if cpu.memory_encryption is not None and live.memory_encryption is None:
        return _doubt(process, f"process {process.pid} encrypts the guest's memory, and the XML does not say so")
    if in_process is Answer.UNKNOWN and (process.properties or cpu.reads_config):
        return _doubt(process, f"whether process {process.pid} exposes {vendor.flag} is not known: {cpu.text}")
    if Answer.UNKNOWN in {in_xml, in_process} or in_xml is in_process or _was_dropped(domain, live, vendor, in_xml):
        return ProcessCheck()
    exposes = "exposes" if in_process is Answer.YES else "does not expose"
    return _contradiction(
        process, f"process {process.pid} {exposes} {vendor.flag} ({cpu.text}); the XML says {live.text}"
    )


def _was_dropped(domain: Domain, live: CpuDefinition, vendor: Vendor, in_xml: Answer) -> bool:
    """Whether libvirt noted that QEMU could not give a flag that the definition asks for: then the XML knows more."""
    if in_xml is not Answer.NO or live.features.get(vendor.flag) not in {"disable", "forbid"}:
        return False
    return domain.is_transient or domain.cpu.promise(vendor).gives_flag is not Answer.NO


def _contradiction(process: VmmProcess, text: str) -> ProcessCheck:
    return ProcessCheck(contradiction=text, evidence=process.evidence)


def _doubt(process: VmmProcess, text: str) -> ProcessCheck:
    return ProcessCheck(doubt=text, evidence=process.evidence)
