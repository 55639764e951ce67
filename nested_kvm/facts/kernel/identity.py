"""Who a machine says it is: its kernel, and what its firmware calls it."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status

DMI = "/sys/class/dmi/id"
_UID: Final = re.compile(r"^uid=([0-9]{1,10})\b|\A([0-9]{1,10})\s*\Z", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Identity:
    """A machine's names. DMI texts are None where the machine has none, or does not show them.

    Source: `/sys/class/dmi/id`, `/proc/sys/kernel/osrelease` and `id`.
    """

    kernel_release: str
    manufacturer: str | None
    product: str | None
    uuid: str | None
    """Shown to root only. libvirt gives a guest its domain's uuid."""
    is_root: bool
    """Whether the probe ran as root."""

    @property
    def hardware(self) -> str:
        """What the firmware calls the machine, in a few words."""
        return " ".join(part for part in (self.manufacturer, self.product) if part) or "a machine without DMI"

    def is_domain(self, uuid: str) -> bool:
        """Whether it has that domain's uuid; older SMBIOS writes its first three fields the other way round."""
        own = (self.uuid or "").lower()
        return uuid.lower() in {own, _swapped(own)}


def _swapped(uuid: str) -> str:
    try:
        return str(UUID(bytes_le=UUID(uuid).bytes))
    except ValueError:
        return uuid


def identity_of(bundle: Bundle) -> Identity:
    """The identity by uname, id and DMI.

    Raises:
        ObservationError: the kernel's release or the account could not be read.
    """
    return Identity(
        kernel_release=bundle.text("/proc/sys/kernel/osrelease").strip(),
        manufacturer=_shown(bundle, "sys_vendor"),
        product=_shown(bundle, "product_name"),
        uuid=_shown(bundle, "product_uuid"),
        is_root=_uid(bundle) == 0,
    )


def _uid(bundle: Bundle) -> int:
    """The account's number. Evidence of earlier probes has it by itself.

    id(1) prints it also where it ends with 1, for want of the name of a group.
    """
    answer = bundle.reading("id -u" if "id -u" in bundle.readings else "id")
    found = _UID.search(answer.text)
    if found is None:
        answer.require()
        raise NotObserved(f"{answer.source} prints {answer.text[:80]!r}")
    return int(found[1] or found[2])


def _shown(bundle: Bundle, name: str) -> str | None:
    reading = bundle.reading(f"{DMI}/{name}")
    return reading.text.strip() or None if reading.status is Status.OK else None
