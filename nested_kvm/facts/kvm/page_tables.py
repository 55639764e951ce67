"""Whether s390x gives the program that starts VMs page tables for guests: by the sysctl, or by what QEMU printed.

Host kernel setup problem detected. Please verify: …the vm.allocate_pgste sysctl
"""

from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.model.verdict import Evidence

_WORD: Final = "allocate_pgste"
_TRIED: Final = ("qemu-system-s390x -accel kvm", "qemu-system-x86_64 -accel kvm")


@dataclass(frozen=True, slots=True)
class PageTables:
    """`refused`: a VM's start failed for them. `are_for_all`: the sysctl gives them to every program.

    Source: `/proc/sys/vm/allocate_pgste`, and what QEMU printed where a VM was started.
    """

    refused: bool
    are_for_all: bool
    reason: str
    evidence: tuple[Evidence, ...] = ()


def page_tables_of(bundle: Bundle) -> PageTables:
    """What is known of them; a sysctl that is off says nothing of a QEMU that is marked."""
    setting = bundle.readings.get(sources.PAGE_TABLES)
    value = setting.text.strip() if setting is not None and setting.is_ok else None
    shown = () if value is None else (Evidence(sources.PAGE_TABLES, value),)
    tried = [bundle.readings[source] for source in _TRIED if source in bundle.readings]
    said = tuple(each.as_evidence() for each in tried if _WORD in each.text)
    if said and value != "1":
        reason = "KVM refused to make a VM, and QEMU names vm.allocate_pgste"
        return PageTables(refused=True, are_for_all=False, reason=reason, evidence=(*said, *shown))
    are_for_all = value == "1"
    others = "vm.allocate_pgste is not on: only the start of a VM shows whether QEMU gets them"
    reason = "vm.allocate_pgste is on" if are_for_all else others
    return PageTables(refused=False, are_for_all=are_for_all, reason=reason, evidence=shown)
