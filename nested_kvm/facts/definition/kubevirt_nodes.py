"""The nodes of a KubeVirt cluster as Kubernetes describes them: their CPU's vendor, and whether KVM offers the flag.

Sample::

    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "labels": {
      "kubevirt.io/schedulable": "true", "cpu-vendor.node.kubevirt.io/AMD": "true",
      "cpu-feature.node.kubevirt.io/svm": "true"}}, "status": {"nodeInfo": {"architecture": "amd64"}}}

Source: virt-handler's node labeller, which labels a node with the vendor of its host-model and with each feature that
libvirt's hypervisor-cpu-baseline finds usable under KVM there. A label that is missing proves nothing: labels may be
older than the module's last load, or switched off.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.facts.definition.candidate_domain import checked_name
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.util.document import Part

SCHEDULABLE: Final = "kubevirt.io/schedulable"
FEATURE: Final = "cpu-feature.node.kubevirt.io/"
_VENDOR: Final = "cpu-vendor.node.kubevirt.io/"
_VENDORS: Final = {"AMD": Vendor.AMD, "Hygon": Vendor.AMD, "Intel": Vendor.INTEL}
_ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class KubernetesNode:
    """One node. `vendor` is None where no label names one."""

    name: str
    architecture: str
    vendor: Vendor | None
    offered: frozenset[str]
    """The flags that the labels name."""
    is_schedulable: bool
    """Whether virt-handler runs there, so that guests may be started."""
    place: str = ""

    def doubt(self, vendor: Vendor) -> str | None:
        """Why it is not known that the node offers the flag; None: a label shows it."""
        if vendor.flag in self.offered:
            return None
        return f"the node {self.name} has no label {FEATURE}{vendor.flag}: whether its KVM offers nesting is not known"


def kubernetes_nodes(objects: Iterable[Part]) -> Iterator[KubernetesNode]:
    """The nodes among these objects.

    Raises:
        NotObserved: a node is not as Kubernetes prints it.
    """
    for each in objects:
        if each.at("kind").text() == "Node" and each.at("apiVersion").text() == "v1":
            yield _node(each)


def _node(found: Part) -> KubernetesNode:
    labels = found.at("metadata", "labels")
    true = {name for name in labels.names() if labels.at(name).word() == "true"}
    vendors = {_VENDORS[word] for name in true if (word := name.removeprefix(_VENDOR)) in _VENDORS and word != name}
    architecture = found.at("status", "nodeInfo", "architecture").text() or "amd64"
    return KubernetesNode(
        name=checked_name(found.at("metadata", "name").text(), "a Node has no metadata.name"),
        architecture=_ARCHITECTURES.get(architecture, architecture),
        vendor=vendors.pop() if len(vendors) == 1 else None,
        offered=frozenset(vendor.flag for vendor in Vendor if f"{FEATURE}{vendor.flag}" in true),
        is_schedulable=SCHEDULABLE in true,
        place=found.place,
    )
