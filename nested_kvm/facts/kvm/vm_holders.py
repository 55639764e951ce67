"""Who holds a VM of KVM: the processes with a file descriptor `anon_inode:kvm-vm`."""

from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import decimal

SOURCE: Final = sources.VM_HOLDERS
UNUSED: Final = "no module of KVM is in use"
"""What the probe says in place of a listing: an open VM keeps the module that knows the CPU in use."""


@dataclass(frozen=True, slots=True)
class VmHolders:
    """The processes that were seen to hold a VM. `are_all` is False where others could not be looked into."""

    pids: tuple[int, ...]
    are_all: bool
    is_kvm_unused: bool = False
    """Nobody had to be looked into."""

    @property
    def text(self) -> str:
        """They, in words."""
        return f"process {', '.join(map(str, self.pids))}"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Each file descriptor that was seen."""
        if self.is_kvm_unused:
            return (Evidence("/sys/module/kvm_*/refcnt", UNUSED),)
        held = tuple(Evidence(f"/proc/{pid}/fd", "anon_inode:kvm-vm") for pid in self.pids)
        scope = "processes" if self.are_all else "processes that may be looked into"
        return held or (Evidence(SOURCE, f"none of the {scope} holds anon_inode:kvm-vm"),)


def vm_holders_of(bundle: Bundle) -> VmHolders:
    """The holders by the processes' file descriptors.

    Raises:
        ObservationError: they were not looked at.
    """
    reading = bundle.reading(SOURCE)
    pids = sorted({pid for pid in map(decimal, reading.text.split()) if pid is not None})
    if reading.status is not Status.UNREADABLE and not (pids and reading.status is Status.TIMED_OUT):
        reading.require()
    is_unused = reading.is_ok and reading.text.strip() == UNUSED
    return VmHolders(tuple(pids), are_all=reading.is_ok, is_kvm_unused=is_unused)
