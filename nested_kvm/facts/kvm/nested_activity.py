"""Whether a guest of a guest runs now: by the counters that an L0 keeps, and by who holds a VM in an L1.

`nested_run` counts entries into an L2 since QEMU started. 0: there never was one. Growing: one runs. Standing still
decides nothing, for an idle L2 enters nothing either. `guest_mode` flickers: a yes is definite, a no is nothing.
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
    """Whether an L2 runs. `no` only where that is sure; `reason` is what was seen, or what is missing.

    Source: of a domain `virsh domstats --vcpu` and `/sys/kernel/debug/kvm`, each twice; in a guest who holds a VM by
    `/proc/<pid>/fd`, and the module's use count.
    """

    runs: Answer
    reason: str
    evidence: tuple[Evidence, ...] = ()


def activity_in_domain(bundle: Bundle, record: DomainRecord) -> NestedActivity:
    """What its L0 knows of a running domain: libvirt's statistics, and the kernel's own where root may read them."""
    by_libvirt = activity_of(f"virsh domstats --vcpu {record.name}", record.vcpu_statistics)
    by_kernel = _unless_unseen(lambda: _by_kernel_of_domain(bundle, record))
    for answer in (Answer.YES, Answer.NO):
        for activity in (by_libvirt, by_kernel):
            if activity.runs is answer:
                return activity
    reason = f"{by_libvirt.reason}; {by_kernel.reason}"
    return NestedActivity(Answer.UNKNOWN, reason, (*by_libvirt.evidence, *by_kernel.evidence))


def activity_in_process(bundle: Bundle, process: VmmProcess) -> NestedActivity:
    """What its L0 knows of a guest without libvirt: only the kernel counts."""
    return _unless_unseen(lambda: _by_kernel(bundle, process))


def activity_in_guest(bundle: Bundle, module: KvmModule) -> NestedActivity:
    """What a guest itself knows: who holds a VM is definite, and so is a module that nobody uses."""
    if not module.is_loaded or module.use_count == 0:
        used = "is in use by nobody" if module.is_loaded else "is not loaded"
        return NestedActivity(Answer.NO, f"{module.name} {used}", module.evidence)
    return _unless_unseen(lambda: _by_holders(bundle, module))


def activity_of(source: str, looks: Sequence[Counters]) -> NestedActivity:
    """What one source's looks at one guest's counters tell."""
    evidence = tuple(Evidence(source, ", ".join(f"{key}={value}" for key, value in look.items())) for look in looks)
    sums = [dict(_sums(look)) for look in looks]
    if any(after[key] > before.get(key, after[key]) for before, after in pairwise(sums) for key in after):
        return NestedActivity(Answer.YES, "nested_run grows", evidence)
    if any("guest_mode" in key and value in {"yes", "1"} for look in looks for key, value in look.items()):
        return NestedActivity(Answer.YES, "a vCPU is inside an L2", evidence)
    latest = sums[-1] if sums else {}
    if not latest or len(latest) < _vcpus(looks[-1]):
        return NestedActivity(Answer.UNKNOWN, f"{source} gives no nested_run{' of each vCPU' * bool(latest)}", evidence)
    if any(latest.values()):
        stands = f"nested_run stands at {sum(latest.values())}, as it does while an L2 is idle ({source})"
        return NestedActivity(Answer.UNKNOWN, stands, evidence)
    return NestedActivity(Answer.NO, "nested_run is 0: it has entered no L2 since it was started", evidence)


def _vcpus(look: Counters) -> float:
    """How many vCPUs must have a counter; more than there can be, where that cannot be told."""
    count = decimal(look.get("vcpu.current", "1"))
    return inf if count is None else count


def _sums(look: Counters) -> Iterator[tuple[str, int]]:
    for key, value in look.items():
        number = decimal(value)
        if "nested_run" in key and number is not None:
            yield key, number


def _by_kernel_of_domain(bundle: Bundle, record: DomainRecord) -> NestedActivity:
    process = vmm_processes_of(bundle).of_domain(record.uuid, record.name)
    if process is None:
        raise NotObserved(f"no process of {record.name} was seen")
    return _by_kernel(bundle, process)


def _by_kernel(bundle: Bundle, process: VmmProcess) -> NestedActivity:
    looks = [_of_process(bundle.text(source), process.pid) for source in _debugfs_sources(bundle)]
    return activity_of(f"{DEBUGFS}/{process.pid}-*", [look for look in looks if look])


def _debugfs_sources(bundle: Bundle) -> list[str]:
    again = sources.debugfs_again()
    return [DEBUGFS, *([again] if again in bundle.readings else [])]


def _of_process(text: str, pid: int) -> Counters:
    lines = (line.partition("=") for line in text.splitlines() if line.startswith(f"{pid}-"))
    return {key: value for key, _, value in lines}


def _by_holders(bundle: Bundle, module: KvmModule) -> NestedActivity:
    holders = vm_holders_of(bundle)
    if holders.pids:
        return NestedActivity(Answer.YES, f"a VM is held by {holders.text}", holders.evidence)
    if not holders.are_all:
        return NestedActivity(Answer.UNKNOWN, "only root sees whether another's process holds a VM", holders.evidence)
    if module.use_count is not None:
        users = f"{module.name} is in use {module.use_count} times, and no process was seen to hold a VM"
        return NestedActivity(Answer.UNKNOWN, users, holders.evidence)
    return NestedActivity(Answer.NO, "no process holds a VM", holders.evidence)


def _unless_unseen(look: Callable[[], NestedActivity]) -> NestedActivity:
    try:
        return look()
    except NotObserved as reason:
        return NestedActivity(Answer.UNKNOWN, str(reason))
