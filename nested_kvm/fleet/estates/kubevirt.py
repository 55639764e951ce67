"""A KubeVirt cluster as an estate, of `kubectl get nodes,vm,vmi,kubevirt -A -o json`.

A node on which virt-handler runs is a host; a VirtualMachineInstance is a guest on its node, and a VirtualMachine that
does not run is one on each node on which it may be started. libvirt in a guest's pod calls it NAMESPACE_NAME, and so
does its QEMU process, which the node sees.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nested_kvm.errors import InventoryError, NotObserved
from nested_kvm.facts.definition import kubevirt
from nested_kvm.facts.definition.candidate_domain import checked_name
from nested_kvm.facts.definition.kubevirt_nodes import KubernetesNode, kubernetes_nodes
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.fleet.defined_guest import DefinedGuest
from nested_kvm.fleet.estates.reading import DefinedEstate, EstateIncomplete, PlacedGuest, defined_estate, left_out
from nested_kvm.inventory.estate import EstateHost
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.document import Part
from nested_kvm.util.text import printable

KIND: Final = "a KubeVirt cluster"
SAVE: Final = "kubectl get nodes,vm,vmi,kubevirt -A -o json"
READ_FROM: Final = "readFrom"
NOT_READ: Final = "notRead"
"""Keys in the metadata of a list that was read live."""
_ENDED: Final = frozenset({"Succeeded", "Failed"})
_INSTANCE: Final = "VirtualMachineInstance"
_MACHINE: Final = "VirtualMachine"


def is_it(document: Part) -> bool:
    """Whether a document is the output of kubectl."""
    return isinstance(document.value, dict) and kubevirt.is_kubernetes(document)


def kubevirt_estate(path: Path, document: Part) -> DefinedEstate:
    """The estate of a cluster.

    Raises:
        EstateIncomplete: it has no node on which guests may run, or lacks an object of a guest.
        InventoryError: an object is there twice, or a guest may be started on no node.
        NotObserved: an object is not as Kubernetes prints it.
    """
    objects = list(kubevirt.objects_in([document]))
    cluster = _Cluster(path, objects, _advice(document))
    hosts = [EstateHost(each.name, _ip(found)) for each, found in cluster.hosts]
    if not hosts:
        raise EstateIncomplete(f"no Node with virt-handler is in it{_advice(document)}")
    placed = [*cluster.running(), *cluster.stopped()]
    return defined_estate(KIND, hosts, placed, [*cluster.left_out(), *_not_read(document)])


def _advice(document: Part) -> str:
    """What to do about a list that lacks an object."""
    return "" if document.at("metadata", READ_FROM).is_there else f": save it by `{SAVE}`"


def _not_read(document: Part) -> Iterator[str]:
    """A sentence for each kind of object that was not read live."""
    for each in document.at("metadata", NOT_READ).entries():
        yield printable(each.text(), 1000)


@dataclass(frozen=True, slots=True)
class _Guest:
    """A VirtualMachine, a VirtualMachineInstance, or both of one guest."""

    machine: Part | None
    instance: Part | None

    @property
    def shown(self) -> Part:
        """The object that defines its next start."""
        found = self.machine or self.instance
        assert found is not None
        return found

    @property
    def node(self) -> str | None:
        """The node on which it runs."""
        if self.instance is None or self.instance.at("status", "phase").text() in _ENDED:
            return None
        return self.instance.at("status", "nodeName").text() or None


class _Cluster:
    """The objects of a cluster, by their kind."""

    def __init__(self, path: Path, objects: Sequence[Part], advice: str) -> None:
        self._path = path
        self._advice = advice
        self._objects = objects
        self._nodes = [(each, found) for found in objects for each in kubernetes_nodes([found])]
        self._guests = self._by_name()
        used = {guest.node for guest in self._guests.values()}
        self.hosts = [(each, found) for each, found in self._nodes if each.is_schedulable or each.name in used]
        known = {each.name for each, _ in self.hosts}
        _distinct("Node", [each.name for each, _ in self._nodes])
        for name, guest in self._guests.items():
            if guest.node is not None and guest.node not in known:
                raise EstateIncomplete(f"{name} runs on {guest.node}, and no such Node is in it{self._advice}")

    def _by_name(self) -> dict[str, _Guest]:
        machines = self._of_kind(_MACHINE)
        instances = self._of_kind(_INSTANCE)
        for name, each in machines.items():
            if name not in instances and each.at("status", "created").truth():
                raise EstateIncomplete(f"{name} runs, and its {_INSTANCE} is not in it{self._advice}")
        names = dict.fromkeys([*machines, *instances])
        return {name: _Guest(machines.get(name), instances.get(name)) for name in names}

    def _of_kind(self, kind: str) -> dict[str, Part]:
        found = [each for each in self._objects if each.at("kind").text() == kind and kubevirt.is_guest(each)]
        names = [_own_name(each) for each in found]
        _distinct(kind, names)
        return dict(zip(names, found, strict=True))

    def running(self) -> Iterator[PlacedGuest]:
        """The guests that run, each on its node."""
        for name, guest in self._guests.items():
            if guest.node is not None and guest.instance is not None:
                started_with = self._definition(guest.instance)
                running = f"{self._path}{guest.instance.at('status', 'nodeName').place}"
                defined = self._defined(name, guest.node, guest)
                yield PlacedGuest(guest.node, name, name, replace(defined, running=running, live_cpu=started_with.cpu))

    def stopped(self) -> Iterator[PlacedGuest]:
        """The guests that do not run, each on every node on which it may be started.

        Raises:
            InventoryError: there is no such node.
        """
        nodes = [each.name for each, _ in self._nodes if each.is_schedulable]
        for name, guest in self._guests.items():
            if guest.node is None and not self._has_ended(guest):
                if not nodes:
                    raise InventoryError(
                        f"{name} does not run, and no Node is schedulable: where it starts is not known"
                    )
                yield from (PlacedGuest(node, name, name, self._defined(name, node, guest)) for node in nodes)

    @staticmethod
    def _has_ended(guest: _Guest) -> bool:
        return guest.machine is None and guest.instance is not None and guest.node is None and (
            guest.instance.at("status", "phase").text() in _ENDED
        )  # fmt: skip

    def left_out(self) -> Iterator[str]:
        """A sentence for each kind of object that is not audited."""
        hosts = {each.name for each, _ in self.hosts}
        others = [each.name for each, _ in self._nodes if each.name not in hosts]
        yield from left_out("node", others, "as virt-handler does not run there")
        ended = [name for name, guest in self._guests.items() if self._has_ended(guest)]
        yield from left_out("ended instance", ended, "which no one starts again")
        taken = {_MACHINE, _INSTANCE}
        sets = [each for each in self._objects if kubevirt.is_guest(each) and each.at("kind").text() not in taken]
        names = [f"{each.at('kind').text()} {kubevirt.name_of(each)}" for each in sets]
        yield from left_out("template of guests", names, "of which the instances are audited")

    def _defined(self, name: str, node: str, guest: _Guest) -> DefinedGuest:
        domain = replace(self._definition(guest.shown), name=name, runs_on=None, beside=tuple(self._labels(node)))
        return DefinedGuest(domain, _process_name(guest.shown))

    def _definition(self, found: Part) -> Domain:
        domain = next(kubevirt.kubevirt_domains([found], self._objects))
        return replace(domain, file=str(self._path))

    def _labels(self, name: str) -> Iterator[Evidence]:
        """What the labels of a node say of its KVM: they may be older than the module's last load."""
        for node, found in self._nodes:
            if node.name == name:
                yield Evidence(f"{self._path}{found.at('metadata', 'labels').place}", _in_words(node))


def _in_words(node: KubernetesNode) -> str:
    offered = ", ".join(sorted(node.offered)) or "no virtualization flag"
    vendor = "no vendor" if node.vendor is None else f"the vendor {node.vendor.name}"
    return f"labels of the node {node.name}: {vendor}, {offered}"


def _own_name(found: Part) -> str:
    """The name without `(running)`: an instance has that of its VirtualMachine.

    Raises:
        NotObserved: it has none, or is generated.
    """
    if found.at("metadata", "name").text() is None:
        raise NotObserved(f"{found.path}: it has no metadata.name")
    return kubevirt.name_of(found).removesuffix(" (running)")


def _process_name(found: Part) -> str:
    space = found.at("metadata", "namespace").text()
    name = checked_name(found.at("metadata", "name").text())
    if not space:
        raise NotObserved(f"{found.path}: it has no metadata.namespace, so it is not of a cluster")
    return f"{space}_{name}"


def _ip(node: Part) -> str | None:
    """The node's InternalIP."""
    for each in node.at("status", "addresses").entries():
        if each.at("type").text() == "InternalIP":
            return each.at("address").text()
    return None


def _distinct(kind: str, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise InventoryError(f"the {kind} {twice} is there twice")
