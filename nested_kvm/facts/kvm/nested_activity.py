"""Whether an L2 runs now: from the counters that an L0 keeps, and from the processes of an L1 that hold a VM.

`nested_run` counts entries into an L2 since QEMU started. 0: there never was one. Growing: one runs. An unchanged
count decides nothing, as an idle L2 is not entered either. `guest_mode` flickers: a yes is definite, a no is not.

The kernel's counters, as the probe prints them, and libvirt's:

    421-14/nested_run=6235
    421-14/vcpu0/guest_mode=1
    vcpu.0.nested_run.sum=6235
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle, DomainRecord
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kvm.vm_holders import vm_holders_of
from nested_kvm.facts.kvm.vmm_process import VmmProcess, vmm_processes_of
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import decimal

DEBUGFS: Final = sources.DEBUGFS

Counters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NestedActivity:
    """Whether an L2 runs. `no` only where that is certain; `reason` is what was observed, or what is missing.

    Source: of a domain `virsh domstats --vcpu` and `/sys/kernel/debug/kvm`, each twice; in a guest the processes that
    hold a VM, from `/proc/<pid>/fd`, and the module's use count.
    """

    runs: Answer
    reason: str
    evidence: tuple[Evidence, ...] = ()
    has_entered: bool = False
    """Whether a counter shows that an L2 was entered at some time: another source's 0 is then no proof."""
    is_stopped: bool = False
    """Whether the domain itself does not run."""


def activity_in_domain(bundle: Bundle, record: DomainRecord) -> NestedActivity:
    """Whether an L2 runs in a domain, from its L0: libvirt's statistics, and the kernel's own where root reads them."""
    by_libvirt = activity_of(f"virsh domstats --vcpu {record.name}", record.vcpu_statistics)
    by_kernel = _unless_unobserved(lambda: _by_kernel_of_domain(bundle, record))
    both = (by_libvirt, by_kernel)
    decisive = [each for answer in (Answer.YES, Answer.NO) for each in both if each.runs is answer]
    if decisive and (decisive[0].runs is Answer.YES or not any(each.has_entered for each in both)):
        return decisive[0]
    reason = f"{by_libvirt.reason}; {by_kernel.reason}"
    return NestedActivity(Answer.UNKNOWN, reason, (*by_libvirt.evidence, *by_kernel.evidence))


def activity_in_process(bundle: Bundle, process: VmmProcess) -> NestedActivity:
    """Whether an L2 runs in a guest without libvirt, from its L0: only the kernel counts entries."""
    return _unless_unobserved(lambda: _by_kernel(bundle, process))


def activity_in_guest(bundle: Bundle, module: KvmModule) -> NestedActivity:
    """Whether an L2 runs, from inside the guest: a process that holds a VM proves it, an unused module rules it out.

    Neither shows the VMs of another hypervisor, whose modules are then loaded.
    """
    by_kvm = _by_kvm(bundle, module)
    others = module.other_hypervisors
    if others and by_kvm.runs is Answer.NO:
        reason = f"{', '.join(others)} is loaded, and may run a VM that KVM does not show; {by_kvm.reason}"
        return NestedActivity(Answer.UNKNOWN, reason, (Evidence("/sys/module", ", ".join(others)), *by_kvm.evidence))
    return by_kvm


def activity_in_host(bundle: Bundle, module: KvmModule) -> NestedActivity:
    """Whether an L2 may run on a host of which no domain is known: a VM that is held there may have one."""
    found = activity_in_guest(bundle, module)
    if found.runs is not Answer.YES:
        return found
    return NestedActivity(Answer.UNKNOWN, f"{found.reason}, and no domain accounts for it", found.evidence)


def _by_kvm(bundle: Bundle, module: KvmModule) -> NestedActivity:
    if module.pvm:
        return _unless_unobserved(lambda: _by_holders(bundle, module))
    if not module.is_loaded or module.use_count == 0:
        state = "is not in use" if module.is_loaded else module.lack
        return NestedActivity(Answer.NO, f"{module.name} {state}", module.evidence)
    return _unless_unobserved(lambda: _by_holders(bundle, module))


def activity_of(source: str, readings: Sequence[Counters]) -> NestedActivity:
    """Whether an L2 runs, from one source's readings of one guest's counters."""
    evidence = tuple(Evidence(source, ", ".join(f"{key}={value}" for key, value in each.items())) for each in readings)
    sums = [dict(_sums(each)) for each in readings]
    if any(after[key] > before.get(key, after[key]) for before, after in pairwise(sums) for key in after):
        return NestedActivity(Answer.YES, "nested_run grows", evidence)
    if any("guest_mode" in key and value in {"yes", "1"} for each in readings for key, value in each.items()):
        return NestedActivity(Answer.YES, "a vCPU is inside an L2", evidence)
    latest, highest = sums[-1] if sums else {}, max((sum(counts.values()) for counts in sums), default=0)
    if not latest or len(latest) < _vcpus(readings[-1]):
        missing = f"{source} shows no nested_run{' for some vCPUs' * bool(latest)}"
        return NestedActivity(Answer.UNKNOWN, missing, evidence, has_entered=highest > 0)
    if sum(latest.values()) < highest:
        fell = f"nested_run fell from {highest} to {sum(latest.values())}: its counters started again ({source})"
        return NestedActivity(Answer.UNKNOWN, fell, evidence, has_entered=True)
    if highest:
        unchanged = f"nested_run stays at {highest}, as it does while an L2 is idle ({source})"
        return NestedActivity(Answer.UNKNOWN, unchanged, evidence, has_entered=True)
    return NestedActivity(Answer.NO, "nested_run is 0: no L2 was entered since the guest was started", evidence)


def _vcpus(reading: Counters) -> float:
    """How many vCPUs must have a counter; more than there can be, where the number is not known.

    The kernel has one counter for the whole VM.
    """
    count = decimal(reading.get("vcpu.current", "")) if any(key.startswith("vcpu.") for key in reading) else 1
    return inf if count is None else count


def _sums(reading: Counters) -> Iterator[tuple[str, int]]:
    for key, value in reading.items():
        number = decimal(value)
        if "nested_run" in key and number is not None:
            yield key, number


def _by_kernel_of_domain(bundle: Bundle, record: DomainRecord) -> NestedActivity:
    process = vmm_processes_of(bundle).of_domain(record.uuid, record.name)
    if process is None:
        raise NotObserved(f"no process of {record.name} was found")
    return _by_kernel(bundle, process)


def _by_kernel(bundle: Bundle, process: VmmProcess) -> NestedActivity:
    found = [_of_process(bundle.text(source), process.pid) for source in _debugfs_sources(bundle)]
    return activity_of(f"{DEBUGFS}/{process.pid}-*", [counters for counters in found if counters])


def _debugfs_sources(bundle: Bundle) -> list[str]:
    again = sources.debugfs_again()
    return [DEBUGFS, *([again] if again in bundle.readings else [])]


def _of_process(text: str, pid: int) -> Counters:
    lines = (line.partition("=") for line in text.split("\n") if line.startswith(f"{pid}-"))
    return {key: value for key, _, value in lines}


def _by_holders(bundle: Bundle, module: KvmModule) -> NestedActivity:
    holders = vm_holders_of(bundle)
    if holders.pids:
        return NestedActivity(Answer.YES, f"{holders.text} runs a VM", holders.evidence)
    if not holders.are_all:
        return NestedActivity(
            Answer.UNKNOWN, "only root can see whether other accounts' processes run a VM", holders.evidence
        )
    if module.use_count is not None:
        users = f"{module.name} has use count {module.use_count}, and no process was found to run a VM"
        return NestedActivity(Answer.UNKNOWN, users, holders.evidence)
    return NestedActivity(Answer.NO, "no process runs a VM", holders.evidence)


def _unless_unobserved(observe: Callable[[], NestedActivity]) -> NestedActivity:
    try:
        return observe()
    except NotObserved as reason:
        return NestedActivity(Answer.UNKNOWN, str(reason))
