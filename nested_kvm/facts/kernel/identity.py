"""The identity of a machine: its kernel release and its DMI names."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status

_UID: Final = re.compile(r"^uid=([0-9]{1,10})\b|\A([0-9]{1,10})\s*\Z", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Identity:
    """The names of a machine. DMI texts are None where it has none, or they may not be read.

    Source: `/sys/class/dmi/id`, `/proc/sys/kernel/osrelease` and `id`.
    """

    kernel_release: str
    manufacturer: str | None
    product: str | None
    uuid: str | None
    """Readable by root only. A libvirt guest has its domain's uuid."""
    is_root: bool
    """Whether the probe ran as root."""

    @property
    def hardware(self) -> str:
        """The machine's manufacturer and product name, by DMI."""
        return " ".join(part for part in (self.manufacturer, self.product) if part) or "a machine without DMI"

    def is_domain(self, uuid: str) -> bool:
        """Whether the machine has that domain's uuid."""
        return is_same_machine(self.uuid or "", uuid)


def is_same_machine(own: str, uuid: str) -> bool:
    """Whether DMI's uuid is the domain's; older SMBIOS swaps the bytes of its first three fields."""
    return uuid.lower() in {own.lower(), _swapped(own.lower())}


def _swapped(uuid: str) -> str:
    try:
        return str(UUID(bytes_le=UUID(uuid).bytes))
    except ValueError:
        return uuid


def identity_of(bundle: Bundle) -> Identity:
    """The identity of the machine, by its kernel release, `id` and DMI.

    Sample of `id`: `uid=0(root) gid=0(root) groups=0(root)`

    Raises:
        ObservationError: the kernel's release or the account could not be read.
    """
    return Identity(
        kernel_release=bundle.text(sources.KERNEL_RELEASE).strip(),
        manufacturer=_shown(bundle, "sys_vendor"),
        product=_shown(bundle, "product_name"),
        uuid=dmi_uuid_of(bundle),
        is_root=_uid(bundle) == 0,
    )


def dmi_uuid_of(bundle: Bundle) -> str | None:
    """The uuid that DMI shows; None where the machine has none, or it may not be read.

    Raises:
        ObservationError: it was not inspected.
    """
    return _shown(bundle, "product_uuid")


def _uid(bundle: Bundle) -> int:
    """The uid of the probing account. Evidence of earlier probes has it as `id -u`.

    id(1) prints it even where it exits with 1 because a group has no name.
    """
    answer = bundle.reading(sources.ACCOUNT_NUMBER if sources.ACCOUNT_NUMBER in bundle.readings else sources.ACCOUNT)
    found = _UID.search(answer.text)
    if found is None:
        answer.require()
        raise NotObserved(f"{answer.source} prints {answer.text[:80]!r}")
    return int(found[1] or found[2])


def _shown(bundle: Bundle, name: str) -> str | None:
    reading = bundle.reading(f"{sources.DMI}/{name}")
    return reading.text.strip() or None if reading.status is Status.OK else None
