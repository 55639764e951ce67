"""`/dev/kvm`, as `ls -ldLn` lists it.

crw-rw---- 1 0 106 10, 232 Nov 21 00:11 /dev/kvm
"""

import re
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.model.architecture import X86, architecture_of
from nested_kvm.model.verdict import Evidence

SOURCE: Final = sources.DEV_KVM
MAJOR_MINOR: Final = (10, 232)
"""MISC_MAJOR and KVM_MINOR (include/uapi/linux/major.h, include/linux/miscdevice.h)."""
_LINE: Final = re.compile(r"(?P<mode>\S{10})(?P<more>\S?)\s+\d+\s+(?P<uid>\d{1,10})\s+(?P<gid>\d{1,10})\s+(?P<rest>.*)")
_DEVICE: Final = re.compile(r"(\d{1,10}),\s*(\d{1,10})\s")


@dataclass(frozen=True, slots=True)
class KvmDevice:
    """The file at `/dev/kvm`. `listing` is the line that `ls` prints; None: there is no such file.

    Source: `ls -ldLn /dev/kvm`.
    """

    listing: str | None
    mode: str = ""
    owner: int | None = None
    group: int | None = None
    numbers: tuple[int, int] | None = None
    is_in_kernel: bool = True
    """Whether a module of KVM that makes the device is in the kernel; without one a node at the path is no device."""
    has_acl: bool = False
    """Whether the file has an access control list beside its mode."""

    @property
    def exists(self) -> bool:
        """Whether there is any file at `/dev/kvm`."""
        return self.listing is not None

    @property
    def is_kvm(self) -> bool:
        """Whether `/dev/kvm` is the character device 10:232, and KVM is in the kernel."""
        return self._is_node and self.is_in_kernel

    @property
    def _is_node(self) -> bool:
        return self.mode.startswith("c") and self.numbers == MAJOR_MINOR

    @property
    def flaw(self) -> str:
        """Why it is not KVM's device, in words behind its path; empty where it is."""
        if not self.exists:
            return "does not exist"
        if not self._is_node:
            return "is not the character device 10:232"
        return "" if self.is_in_kernel else "is a node without KVM in the kernel: no module of this CPU's made it"

    @property
    def is_open_to_no_one(self) -> bool:
        """Whether neither the mode nor an access control list lets any account but root read and write it."""
        return not self.has_acl and all(self.mode[start : start + 2] != "rw" for start in (1, 4, 7))

    @property
    def is_open_to_others(self) -> bool:
        """Whether accounts outside the device's group may read or write it."""
        return self.mode[7:9] != "--"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The line that `ls` prints."""
        return (Evidence(SOURCE, self.listing or "does not exist"),)


def kvm_device_of(bundle: Bundle) -> KvmDevice:
    """The device from `ls -ldLn /dev/kvm`.

    Raises:
        ObservationError: the device could not be inspected.
    """
    reading = bundle.reading(SOURCE)
    if reading.status in {Status.ABSENT, Status.DANGLING}:
        return KvmDevice(None)
    listing = reading.require().text.strip()
    line = _LINE.match(listing)
    if line is None:
        raise NotObserved(f"{SOURCE}: ls prints {listing[:80]!r}")
    numbers = _DEVICE.match(line["rest"])
    device = (int(numbers[1]), int(numbers[2])) if numbers else None
    is_in_kernel = _registers_device(bundle, bundle.text(sources.MODULES).split())
    return KvmDevice(
        listing, line["mode"], int(line["uid"]), int(line["gid"]), device, is_in_kernel, has_acl=line["more"] == "+"
    )


def _registers_device(bundle: Bundle, modules: list[str]) -> bool:
    """Whether a module is there that makes the device: on x86 kvm alone leaves that to kvm_intel or kvm_amd.

    Any other module of KVM for a CPU counts as well; kvmgt and kvmfr, which only use KVM, do not.
    """
    machine = bundle.readings.get(sources.ARCHITECTURE)
    is_x86 = machine is not None and architecture_of(machine.text.strip()) is X86
    return any(name.startswith("kvm_") or (name == "kvm" and not is_x86) for name in modules)
