"""The domains of a host: those that libvirt lists, and every VM that no listed domain accounts for."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from nested_kvm.errors import NotCollected, NotObserved, ObservationError
from nested_kvm.facts.kvm.nested_activity import DEBUGFS
from nested_kvm.facts.kvm.vmm_process import PROCESS_KEY, VmmProcess
from nested_kvm.facts.kvm.vmm_process import SOURCE as PROCESSES
from nested_kvm.fleet.machine import Machine
from nested_kvm.model.layer import Layer
from nested_kvm.util.text import decimal


@dataclass(frozen=True, slots=True)
class ListedDomain:
    """One domain, or VM, of a host. `key` finds it again; see `Machine.domain`."""

    name: str
    uuid: str | None
    key: str
    unidentified: str | None = None
    """Why it cannot be evaluated, where only the existence of a VM is known."""
    is_beside_libvirt: bool = False
    """Whether libvirt does not know it, whatever its name is."""


def domains_on(machine: Machine) -> Iterator[ListedDomain]:
    """Every domain on a host: libvirt's first, then each VM beside libvirt.

    Raises:
        ObservationError: the listing failed, or others may be hidden; raised after those that are known.
    """
    if machine.target.libvirt is None:
        yield from _processes_without_libvirt(machine)
        return
    libvirt = machine.libvirt
    for record in libvirt.records:
        yield ListedDomain(record.name, record.uuid, record.uuid)
    yield from _beside_libvirt(machine)
    if libvirt.incomplete is not None:
        raise NotCollected(libvirt.incomplete)
    if libvirt.refusal is not None:
        raise NotObserved(f"libvirt at {libvirt.uri} does not answer: {libvirt.refusal}")


def _processes_without_libvirt(machine: Machine) -> Iterator[ListedDomain]:
    found = machine.vmm_processes
    yield from (_of_process(process) for process in found.processes)
    yield from _unknown_vms(machine, {process.pid for process in found.processes})
    if not found.are_all:
        raise NotObserved("processes of other accounts are hidden, and there is no libvirt")


def _beside_libvirt(machine: Machine) -> Iterator[ListedDomain]:
    """The VMs of which libvirt knows nothing, as far as the processes can be seen.

    Raises:
        ObservationError: the processes could not be read.
    """
    if PROCESSES not in machine.bundle.readings and machine.bundle.cut is None:
        return  # Evidence of an older version has none.
    processes = machine.vmm_processes.processes
    records = machine.libvirt.records
    uuids, names = {record.uuid for record in records}, {record.name for record in records}
    for process in processes:
        is_known = process.uuid in uuids if process.uuid is not None else process.name in names
        if not is_known:
            yield replace(_of_process(process), is_beside_libvirt=True)
    for vm in _unknown_vms(machine, {process.pid for process in processes}):
        yield replace(vm, is_beside_libvirt=True)


def _of_process(process: VmmProcess) -> ListedDomain:
    shows_cpu = process.is_qemu or process.layer is Layer.CLOUD_HYPERVISOR
    reason = None if shows_cpu else f"the CPU that {process.program} gives its guest is not known"
    return ListedDomain(process.label, process.uuid, process.key, reason)


def _unknown_vms(machine: Machine, known: set[int]) -> Iterator[ListedDomain]:
    """The VMs of which only the process id is known: by its file descriptors, or by the kernel's statistics."""
    for pid in sorted(_pids_with_a_vm(machine) - known):
        name = f"process {pid}"
        yield ListedDomain(name, None, f"{PROCESS_KEY}{pid}", f"{name} has a VM, and is not a known VMM")


def _pids_with_a_vm(machine: Machine) -> set[int]:
    holders = machine.vm_holders
    found = set() if holders is None else set(holders.pids)
    with suppress(ObservationError):
        lines = machine.bundle.text(DEBUGFS).split("\n")
        found |= {pid for line in lines if (pid := decimal(line.partition("-")[0])) is not None}
    return found
