"""A KubeVirt cluster that is read live: the list that `kubectl get nodes,vm,vmi,kubevirt -A -o json` would save.

All that a later evaluation needs is in it, so a run keeps it beside its evidence. What may hold a secret and decides
nothing is dropped before anything else sees it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from nested_kvm.errors import InventoryError, NotObserved
from nested_kvm.fleet.estates.kubernetes_client import (
    NODES,
    KubernetesApi,
    Limits,
    ListForbidden,
    NotServed,
    Resource,
    connected,
    within,
)
from nested_kvm.fleet.estates.kubevirt import NOT_READ, READ_FROM, SAVE, kubevirt_estate
from nested_kvm.fleet.estates.reading import JSON_LIMIT, DefinedEstate, EstateIncomplete, read_text
from nested_kvm.inventory.estate import ESTATE_FILE, KubernetesCluster
from nested_kvm.util.document import json_document

NAMESPACES: Final = "namespaces"
_READS: Final = 3
"""How often a cluster is read that changes meanwhile."""
_GROUP: Final = "kubevirt.io"
_TYPES_GROUP: Final = "instancetype.kubevirt.io"
_MACHINES: Final = Resource(_GROUP, "virtualmachines")
_INSTANCES: Final = Resource(_GROUP, "virtualmachineinstances")
_KUBEVIRTS: Final = Resource(_GROUP, "kubevirts")
_TYPES: Final = (
    Resource(_TYPES_GROUP, "virtualmachineclusterinstancetypes", namespaced=False),
    Resource(_TYPES_GROUP, "virtualmachineclusterpreferences", namespaced=False),
    Resource(_TYPES_GROUP, "virtualmachineinstancetypes"),
    Resource(_TYPES_GROUP, "virtualmachinepreferences"),
)
_REVISIONS: Final = Resource("apps", "controllerrevisions")
_DROPPED: Final = frozenset(
    {
        "volumes",  # cloud-init's user data
        "dataVolumeTemplates",
        "accessCredentials",
        "kubectl.kubernetes.io/last-applied-configuration",  # all of these again
        "managedFields",
        "images",  # of a node: long, and no secret
    }
)

Objects = list[dict[str, Any]]


def live_estate(source: KubernetesCluster, limits: Limits | None = None) -> tuple[DefinedEstate, str]:
    """The estate of a cluster as it is now, and its objects as JSON.

    A guest that starts, stops or moves between two lists is no error: the cluster is read again.

    Raises:
        InventoryError: it cannot be read whole, or has no node on which guests may run.
    """
    for _ in range(_READS - 1):
        text = read_cluster(source, limits)
        with suppress(EstateIncomplete):
            return _estate(source, text), text
    text = read_cluster(source, limits)
    return _estate(source, text), text


def recorded_estate(source: KubernetesCluster, path: Path) -> tuple[DefinedEstate, str]:
    """The estate of a cluster as an earlier run read it, and its objects as JSON.

    Raises:
        InventoryError: there is no such file, or it is of another cluster.
    """
    if not path.exists():
        raise InventoryError(
            f"with --evidence no cluster is read, and there is no {path}, as a run leaves it:"
            f" save the list by `{SAVE}`, and name it by `file`"
        )
    text = read_text(path, JSON_LIMIT)
    try:
        metadata = json_document(text).at("metadata")
        context = metadata.at(READ_FROM).text()
        namespaces = tuple(each.text() for each in metadata.at(NAMESPACES).entries())
    except NotObserved as error:
        raise InventoryError(f"{path}: {error}") from None
    if context is None or source.context not in {None, context} or namespaces != source.namespaces:
        raise InventoryError(f"{path}: was not read from this context and these namespaces")
    return _estate(source, text), text


def _estate(source: KubernetesCluster, text: str) -> DefinedEstate:
    try:
        return kubevirt_estate(Path(ESTATE_FILE), json_document(text))
    except NotObserved as error:
        raise InventoryError(f"{source}: {error}") from None
    except EstateIncomplete as error:
        raise EstateIncomplete(f"{source}: {error}") from None
    except InventoryError as error:
        raise InventoryError(f"{source}: {error}") from None


def read_cluster(source: KubernetesCluster, limits: Limits | None = None) -> str:
    """The objects of a cluster that decide, as JSON.

    Raises:
        InventoryError: it cannot be read whole; the message names the context, and what was asked.
    """
    limits = limits or Limits()
    return within(limits.seconds, str(source), partial(_read, source, limits))


def _read(source: KubernetesCluster, limits: Limits) -> str:
    try:
        api = connected(source.context, limits)
        document = _Reader(api, source.namespaces).document()
        text = json.dumps(document, indent=1) + "\n"
    except NotObserved as error:
        raise InventoryError(f"{source}: an answer is not as Kubernetes gives it: {error}") from None
    except RecursionError:
        raise InventoryError(f"{source}: an object is nested too deeply") from None
    if len(text.encode()) > JSON_LIMIT:
        raise InventoryError(f"{source}: it has more than {JSON_LIMIT // 1024 // 1024} MiB of objects: name namespaces")
    return text


class _Reader:
    """Reads one cluster, once."""

    def __init__(self, api: KubernetesApi, namespaces: Sequence[str]) -> None:
        self._api = api
        self._namespaces = namespaces
        self._not_read: list[str] = []

    def document(self) -> dict[str, Any]:
        """The list. Nodes are read last, so that a guest's node is among them."""
        machines = self._required(_MACHINES)
        instances = self._required(_INSTANCES)
        self._require_namespaces(machines, instances)
        others = [*self._defaults(), *self._types(machines)]
        nodes = self._required(NODES)
        metadata = {READ_FROM: self._api.name, NAMESPACES: list(self._namespaces), NOT_READ: list(self._notes())}
        items = [*nodes, *machines, *instances, *others]
        return {"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": [_kept(each) for each in items]}

    def _required(self, resource: Resource) -> Objects:
        """The objects without which nothing is known.

        Raises:
            InventoryError: they cannot be listed, or the cluster has no such kind.
        """
        try:
            return self._listed(resource)
        except NotServed as error:
            raise InventoryError(f"{error}: is KubeVirt installed there?") from None

    def _listed(self, resource: Resource) -> Objects:
        if not self._namespaces or not resource.namespaced:
            return self._api.objects(resource)
        return [each for namespace in self._namespaces for each in self._api.objects(resource, namespace)]

    def _require_namespaces(self, machines: Objects, instances: Objects) -> None:
        """Check that each namespace without a guest exists: of one that does not, the list is empty as well.

        Raises:
            InventoryError: one does not, or it is not known.
        """
        used = {str(_metadata(each).get("namespace")) for each in (*machines, *instances)}
        for name in self._namespaces:
            if name not in used and not self._api.has_namespace(name):
                raise InventoryError(f"the cluster of kubernetes context {self._api.name} has no namespace {name}")

    def _defaults(self) -> Iterator[dict[str, Any]]:
        """The resource that has the default model, also what a HyperConverged sets: one for all namespaces."""
        try:
            yield from self._api.objects(_KUBEVIRTS)
        except NotServed:
            return
        except ListForbidden as error:
            self._not_read.append(f"{error}; without it a guest that names no cpu.model is unknown")

    def _types(self, machines: Objects) -> Iterator[dict[str, Any]]:
        """The instancetypes and preferences, and what is kept of them, where a VirtualMachine names one."""
        if not any({"instancetype", "preference"} & _mapping(each.get("spec")).keys() for each in machines):
            return
        for resource in (*_TYPES, _REVISIONS):
            try:
                yield from (each for each in self._listed(resource) if resource != _REVISIONS or _is_of_a_type(each))
            except NotServed:
                continue
            except ListForbidden as error:
                self._not_read.append(f"{error}; without it a guest that needs it is unknown")

    def _notes(self) -> Iterator[str]:
        yield from self._not_read
        if self._namespaces:
            yield f"only guests in the namespaces {', '.join(self._namespaces)} were read"


def _is_of_a_type(revision: Mapping[str, Any]) -> bool:
    """Whether it keeps an instancetype or a preference: others hold what pods and guests are made of, with secrets."""
    return str(_mapping(revision.get("data")).get("apiVersion")).startswith(f"{_TYPES_GROUP}/")


def _kept(value: Any) -> Any:
    """A value without what is dropped, at any depth."""
    if isinstance(value, dict):
        return {key: _kept(each) for key, each in value.items() if key not in _DROPPED}
    return [_kept(each) for each in value] if isinstance(value, list) else value


def _metadata(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(found.get("metadata"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
