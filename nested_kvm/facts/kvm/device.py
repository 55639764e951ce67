"""`/dev/kvm`, by what `ls -ldn` says of it."""

import re
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.model.verdict import Evidence

SOURCE: Final = sources.DEV_KVM
MAJOR_MINOR: Final = (10, 232)
"""MISC_MAJOR and KVM_MINOR (include/uapi/linux/major.h, include/linux/miscdevice.h)."""
_LINE: Final = re.compile(r"(?P<mode>\S{10})(?P<more>\S?)\s+\d+\s+(?P<uid>\d{1,10})\s+(?P<gid>\d{1,10})\s+(?P<rest>.*)")
_DEVICE: Final = re.compile(r"(\d{1,10}),\s*(\d{1,10})\s")


@dataclass(frozen=True, slots=True)
class KvmDevice:
    """What stands at `/dev/kvm`. `listing` is the line of `ls`; None: nothing stands there.

    Source: `ls -ldLn /dev/kvm`.
    """

    listing: str | None
    mode: str = ""
    owner: int | None = None
    group: int | None = None
    numbers: tuple[int, int] | None = None
    has_acl: bool = False
    """Whether an access control list says more than the mode."""

    @property
    def exists(self) -> bool:
        """Whether anything stands there."""
        return self.listing is not None

    @property
    def is_kvm(self) -> bool:
        """Whether it is the character device 10:232."""
        return self.mode.startswith("c") and self.numbers == MAJOR_MINOR

    @property
    def is_open_to_no_one(self) -> bool:
        """Whether neither the mode nor an access control list lets any account but root read and write it."""
        return not self.has_acl and all(self.mode[start : start + 2] != "rw" for start in (1, 4, 7))

    @property
    def is_open_to_others(self) -> bool:
        """Whether accounts outside its group may read or write it."""
        return self.mode[7:9] != "--"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The line of `ls`."""
        return (Evidence(SOURCE, self.listing or "is not there"),)


def kvm_device_of(bundle: Bundle) -> KvmDevice:
    """The device by `ls -ldLn /dev/kvm`.

    Raises:
        ObservationError: it could not be looked at.
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
    return KvmDevice(listing, line["mode"], int(line["uid"]), int(line["gid"]), device, has_acl=line["more"] == "+")
