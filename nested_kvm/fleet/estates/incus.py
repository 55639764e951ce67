"""Incus (or LXD) as an estate, of `incus list --all-projects --format json`.

Each member of a cluster with an instance is a host; a server that is not in a cluster has no name there, so that the
inventory names it. A virtual machine's QEMU process has the uuid that Incus keeps in `volatile.uuid`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from nested_kvm.errors import InventoryError
from nested_kvm.facts.definition import incus
from nested_kvm.facts.definition.candidate_domain import checked_name
from nested_kvm.fleet.defined_guest import DefinedGuest
from nested_kvm.fleet.estates.reading import DefinedEstate, PlacedGuest, defined_estate, left_out
from nested_kvm.inventory.estate import EstateHost
from nested_kvm.util.document import Part
from nested_kvm.util.text import printable
from nested_kvm.util.uuid import is_uuid

KIND: Final = "servers of Incus"
SAVE: Final = "incus list --all-projects --format json"
_NO_CLUSTER: Final = frozenset({"none", ""})
_DEFAULT: Final = "default"
_UUID: Final = "volatile.uuid"
_CONTAINER: Final = "container"
_STOPPED: Final = frozenset({"stopped", "error"})


def is_it(document: Part) -> bool:
    """Whether a document is a list of instances."""
    if not isinstance(document.value, list) or not document.value:
        return False
    first = next(document.entries())
    return isinstance(first.value, dict) and {"config", "devices", "location"} <= set(first.names())


def incus_estate(path: Path, document: Part, hosts: Sequence[str]) -> DefinedEstate:
    """The estate of a list of instances; `hosts` are those that the inventory names.

    Raises:
        InventoryError: the server has no name.
        NotObserved: an instance is not as Incus prints it.
    """
    placed: list[PlacedGuest] = []
    containers: list[str] = []
    members: dict[str, None] = {}
    for each in document.entries():
        host = _host(each, hosts)
        members[host] = None
        name = _name(each)
        if each.at("type").text() == _CONTAINER:
            containers.append(name)
        else:
            placed.append(PlacedGuest(host, name, each.path, _defined(path, each, name)))
    notes = list(left_out("container", containers, "as they have the CPU of their host"))
    if any((each.at("location").text() or "") not in _NO_CLUSTER for each in document.entries()):
        notes.append("a member of the cluster without an instance is not in the list: name it under `hosts`")
    return defined_estate(KIND, [EstateHost(each) for each in members], placed, notes)


def _host(instance: Part, hosts: Sequence[str]) -> str:
    location = (instance.at("location").text() or "").strip()
    if location not in _NO_CLUSTER:
        return checked_name(location, f"{instance.path}: location is not a name")
    if len(hosts) != 1:
        raise InventoryError(
            "the server is not in a cluster, so the list does not name it: name it as the one host under `hosts`"
        )
    return hosts[0]


def _name(instance: Part) -> str:
    name = checked_name(instance.at("name").text(), f"{instance.path}: it has no name")
    project = instance.at("project").text() or _DEFAULT
    return (
        name if project == _DEFAULT else checked_name(f"{project}/{name}", f"{instance.path}: its project has no name")
    )


def _defined(path: Path, instance: Part, name: str) -> DefinedGuest:
    found = next(incus.incus_domains([(instance, name)], []))
    domain = replace(found, name=name, file=str(path))
    uuid = (instance.at("config", _UUID).text() or "").lower()
    status = (instance.at("status").text() or "").lower()
    running = f"{path}{instance.at('status').place}" if status and status not in _STOPPED else None
    process = uuid if is_uuid(uuid) else instance.at("name").text() or name
    return DefinedGuest(domain, process, running=running, unread_states=tuple(_saved(path, instance)))


def _saved(path: Path, instance: Part) -> Iterator[str]:
    """A sentence for each state with memory that may bring an older CPU back."""
    if instance.at("stateful").truth():
        yield f"{path}{instance.at('stateful').place}: it was stopped with its memory, and its CPU is not evaluated"
    snapshots = instance.at("snapshots")
    for each in snapshots.entries():
        if each.at("stateful").truth():
            name = printable(each.at("name").text() or "", 80)
            yield f"{path}{each.place}: the snapshot {name} was saved with its memory, and its CPU is not evaluated"
    if "snapshots" not in instance.names():
        yield f"{path}{instance.place}: the list does not show its snapshots"
