"""OpenStack Nova as an estate, of `openstack server list --all-projects --long -f json`.

Each compute host with a server is a host, and each server a guest there: libvirt's uuid of its domain is the server's.
The definition is libvirt's own, which the host shows.
"""

from collections.abc import Iterator
from typing import Final

from nested_kvm.errors import InventoryError
from nested_kvm.facts.definition.candidate_domain import checked_name
from nested_kvm.fleet.estates.reading import DefinedEstate, left_out
from nested_kvm.inventory.estate import Estate, EstateGuest, EstateHost
from nested_kvm.util.document import Part
from nested_kvm.util.uuid import is_uuid

KIND: Final = "compute hosts of OpenStack"
SAVE: Final = "openstack server list --all-projects --long -f json"
_LIBVIRT: Final = "qemu:///system"


def is_it(document: Part) -> bool:
    """Whether a document is a list of servers."""
    if not isinstance(document.value, list) or not document.value:
        return False
    first = next(document.entries())
    return isinstance(first.value, dict) and {"ID", "Name", "Status"} <= set(first.names())


def openstack_estate(document: Part) -> DefinedEstate:
    """The estate of a list of servers.

    Raises:
        InventoryError: it does not show the hosts, or has none.
        NotObserved: a server is not as the client prints it.
    """
    guests: list[EstateGuest] = []
    without_host: list[str] = []
    for each in document.entries():
        if "Host" not in each.names():
            raise InventoryError(f"{each.path}: it does not show its Host: save it by `{SAVE}`, as an administrator")
        uuid = (each.at("ID").text() or "").lower()
        if not is_uuid(uuid):
            raise InventoryError(f"{each.path}.ID is not a uuid")
        name = checked_name(each.at("Name").text() or uuid)
        host = (each.at("Host").text() or "").strip()
        if not host:
            without_host.append(f"{name} ({each.at('Status').text()})")
            continue
        guests.append(EstateGuest(name, checked_name(host), uuid))
    hosts = tuple(EstateHost(name, libvirt=_LIBVIRT) for name in dict.fromkeys(guest.host for guest in guests))
    if not hosts:
        raise InventoryError(f"{KIND} without any host: nothing to audit")
    notes = [
        *left_out("server", without_host, "as it is on no host"),
        "a compute host without a server is not in the list: name it under `hosts`",
    ]
    return DefinedEstate(Estate(KIND, hosts, tuple(_distinct(guests)), tuple(notes)))


def _distinct(guests: list[EstateGuest]) -> Iterator[EstateGuest]:
    """Servers of one name get their ID as a part of theirs, and one that is called as a host is."""
    names = [guest.name for guest in guests]
    taken = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    taken |= {guest.host for guest in guests}
    for guest in guests:
        name = f"{guest.name} ({guest.domain})" if guest.name in taken else guest.name
        yield EstateGuest(name, guest.host, guest.domain)
