"""A host that was not inspected: any x86 host, or a node of KubeVirt's by its labels."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from typing_extensions import override

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.definition.kubevirt_nodes import KubernetesNode
from nested_kvm.facts.kernel.cpu import Cpu, Vendor
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Guard, Policy
from nested_kvm.version import VERSION

ANY_HOST: Final = "any x86 host"
_ARCHITECTURE: Final = "x86_64"
_VENDORS: Final = (Vendor.INTEL, Vendor.AMD)


class AssumedHost(Machine):
    """Any host that offers nesting, or a node: its CPU may be Intel's or AMD's unless a label names the vendor."""

    def __init__(self, candidates: Mapping[str, Domain], node: KubernetesNode | None = None) -> None:
        self.node = node
        name = ANY_HOST if node is None else node.name
        target = Target(name, TargetLevel.L0, Address.parse("local://"), Policy(), libvirt="qemu:///system")
        super().__init__(Bundle(target, datetime.now(UTC), VERSION), candidates)

    @cached_property
    @override
    def architecture(self) -> str:
        return _ARCHITECTURE if self.node is None else self.node.architecture

    @cached_property
    @override
    def cpu(self) -> Cpu:
        vendor = None if self.node is None else self.node.vendor
        possible = _VENDORS if vendor is None else (vendor,)
        return Cpu(self.architecture, vendor, "", "", (), possible=possible)

    @property
    @override
    def guard(self) -> Guard:
        return Guard(Answer.UNKNOWN, "no host is known whose kernel decides")
