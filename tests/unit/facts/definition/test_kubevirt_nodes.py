"""Kubernetes' nodes: what KubeVirt's labels show of them."""

import json
from typing import Any

import pytest

from nested_kvm.errors import NotObserved
from nested_kvm.facts.definition.definition_file import DefinitionFile
from nested_kvm.facts.definition.definition_files import domains_in
from nested_kvm.facts.definition.kubevirt_nodes import FEATURE, SCHEDULABLE, KubernetesNode
from nested_kvm.facts.kernel.cpu import Vendor

VENDOR = "cpu-vendor.node.kubevirt.io/"


def node(labels: dict[str, Any], architecture: str = "amd64") -> KubernetesNode:
    found = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "labels": labels}}
    listed = {
        "kind": "List",
        "apiVersion": "v1",
        "items": [found | {"status": {"nodeInfo": {"architecture": architecture}}}],
    }
    (only,) = domains_in([DefinitionFile("nodes.json", json.dumps(listed))]).nodes
    return only


@pytest.mark.parametrize(
    ("labels", "vendor"),
    [
        ({f"{VENDOR}AMD": "true"}, Vendor.AMD),
        ({f"{VENDOR}Hygon": "true"}, Vendor.AMD),
        ({f"{VENDOR}Intel": "true"}, Vendor.INTEL),
        ({f"{VENDOR}Intel": "false"}, None),
        ({f"{VENDOR}Intel": "true", f"{VENDOR}AMD": "true"}, None),
        ({"AMD": "true"}, None),
        ({}, None),
    ],
)
def test_the_vendor_is_that_of_the_label(labels: dict[str, Any], vendor: Vendor | None) -> None:
    assert node(labels).vendor is vendor


def test_a_label_shows_the_flag_and_nothing_shows_that_it_is_missing() -> None:
    offering = node({f"{FEATURE}svm": "true", f"{FEATURE}vmx": "false", f"{FEATURE}vmx-ept": "true"})
    assert offering.doubt(Vendor.AMD) is None
    assert f"no label {FEATURE}vmx" in (offering.doubt(Vendor.INTEL) or "")


def test_the_architecture_is_the_one_that_the_kernel_names() -> None:
    assert [node({}, "amd64").architecture, node({}, "arm64").architecture] == ["x86_64", "aarch64"]


def test_guests_are_started_where_the_handler_runs() -> None:
    assert [node({SCHEDULABLE: word}).is_schedulable for word in ("true", "false")] == [True, False]


@pytest.mark.parametrize("labels", [[], "text", {f"{FEATURE}svm": ["true"]}])
def test_labels_that_kubernetes_would_not_print_are_an_error(labels: Any) -> None:
    with pytest.raises(NotObserved, match=r"nodes\.json: items\[0\]\.metadata\.labels"):
        node(labels)
