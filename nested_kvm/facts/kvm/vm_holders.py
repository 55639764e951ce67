"""The processes that run a VM under KVM: those with a file descriptor `anon_inode:kvm-vm`.

The probe prints the pid of each, one per line.
"""

from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import decimal

SOURCE: Final = sources.VM_HOLDERS
UNUSED: Final = "no module of KVM is in use"
"""What the probe prints instead of pids: an open VM keeps the vendor's KVM module in use."""


@dataclass(frozen=True, slots=True)
class VmHolders:
    """The processes that were found to hold a VM. `are_all` is False where others could not be inspected."""

    pids: tuple[int, ...]
    are_all: bool
    is_kvm_unused: bool = False
    """No KVM module is in use, so no process had to be inspected."""

    @property
    def text(self) -> str:
        """The pids, for messages."""
        return f"process {', '.join(map(str, self.pids))}"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The file descriptor of each holder."""
        if self.is_kvm_unused:
            return (Evidence("/sys/module/kvm_*/refcnt", UNUSED),)
        held = tuple(Evidence(f"/proc/{pid}/fd", "anon_inode:kvm-vm") for pid in self.pids)
        scope = "processes" if self.are_all else "processes that may be inspected"
        return held or (Evidence(SOURCE, f"none of the {scope} holds anon_inode:kvm-vm"),)


def vm_holders_of(bundle: Bundle) -> VmHolders:
    """The holders, from the processes' file descriptors.

    Raises:
        ObservationError: the file descriptors were not inspected.
    """
    reading = bundle.reading(SOURCE)
    pids = sorted({pid for pid in map(decimal, reading.text.split()) if pid is not None})
    if reading.status is not Status.UNREADABLE and not (pids and reading.status is Status.TIMED_OUT):
        reading.require()
    is_unused = reading.is_ok and reading.text.strip() == UNUSED
    return VmHolders(tuple(pids), are_all=reading.is_ok, is_kvm_unused=is_unused)
