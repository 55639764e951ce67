"""Terraform's plans with libvirt's domains, as both generations of the provider write them."""

import json
from typing import Any

import pytest

from nested_kvm.errors import NotObserved
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.model.answer import Answer
from tests.support.defined import defined, gives, only

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def plan(values: dict[str, Any], unknown: dict[str, Any] | None = None, **resource: Any) -> tuple[str, str]:
    own = {
        "address": "libvirt_domain.ci",
        "mode": "managed",
        "type": "libvirt_domain",
        "values": {"name": "ci"} | values,
    }
    change = {"address": "libvirt_domain.ci", "change": {"after_unknown": unknown or {}}}
    document = {"planned_values": {"root_module": {"resources": [own | resource]}}, "resource_changes": [change]}
    return "plan.json", json.dumps(document)


@pytest.mark.parametrize(
    ("values", "amd", "intel"),
    [
        ({}, NO, NO),
        ({"cpu": []}, NO, NO),
        ({"cpu": None}, NO, NO),
        ({"cpu": [{"mode": "host-passthrough"}]}, YES, YES),
        ({"cpu": [{"mode": "host-model"}]}, NO, YES),
        ({"cpu": {"mode": "host-passthrough"}}, YES, YES),
        ({"cpu": {"mode": "host-model", "features": [{"name": "svm"}]}}, YES, NO),
        ({"cpu": {"mode": "custom", "model": "EPYC", "features": [{"name": "svm", "policy": "require"}]}}, YES, NO),
        ({"cpu": {"mode": "custom", "model": {"value": "EPYC"}}}, NO, NO),
        ({"cpu": {"mode": "custom", "model": "EPYC", "match": "minimum"}}, NO, YES),
        ({"cpu": {"mode": "custom", "model": "EPYC", "match": "maximum"}}, UNKNOWN, UNKNOWN),
        ({"cpu": {"mode": "host-passthrough", "features": [{"name": "svm", "policy": "disable"}]}}, NO, YES),
        ({"cpu": {"mode": "host-passthrough", "surprise": 1}}, UNKNOWN, UNKNOWN),
        ({"cpu": {"mode": "host-passthrough", "max_phys_addr": {"mode": "emulate"}}}, YES, YES),
        ({"cpu": {"mode": "custom", "model": "EPYC"}, "os": {"type_machine": "pc-i440fx-2.1"}}, UNKNOWN, NO),
        ({"cpu": [{"mode": "host-passthrough"}], "xml": []}, YES, YES),
        ({"cpu": [{"mode": "host-passthrough"}], "xml": [{"xslt": "<xsl/>"}]}, UNKNOWN, UNKNOWN),
        ({"cpu": [{"mode": "host-passthrough"}], "qemu_commandline": {"args": ["-cpu"]}}, UNKNOWN, UNKNOWN),
        ({"cpu": [{"mode": "host-passthrough"}], "launch_security": {"type": "sev"}}, UNKNOWN, UNKNOWN),
    ],
)
def test_the_values_decide(values: dict[str, Any], amd: Answer, intel: Answer) -> None:
    assert gives(only(plan(values))) == (amd, intel)


@pytest.mark.parametrize(
    "model", [{"model_vendor_id": "GenuineIntel", "model": "EPYC"}, {"model": {"value": "EPYC", "vendor_id": "Other"}}]
)
def test_a_guest_that_is_shown_another_vendor_may_not_use_the_flag(model: dict[str, Any]) -> None:
    found = only(plan({"cpu": {"mode": "custom", "features": [{"name": "svm"}]} | model}))
    assert gives(found)[0] is YES
    assert found.why_not_usable([Vendor.AMD]) is not None
    copy = only(plan({"cpu": {"mode": "host-passthrough"} | model}))
    assert copy.why_not_usable([Vendor.AMD]) is None


@pytest.mark.parametrize(
    "unknown", [{"cpu": True}, {"cpu": [{"mode": True}]}, {"type": True}, {"xml": [{"xslt": True}]}]
)
def test_what_is_known_only_after_the_plan_is_open(unknown: dict[str, Any]) -> None:
    found = only(plan({"cpu": [{"mode": "host-passthrough"}]}, unknown))
    assert gives(found) == (UNKNOWN, UNKNOWN)
    assert "known only after the plan is applied" in found.promise(Vendor.AMD).reason


def test_other_attributes_may_be_open() -> None:
    found = only(plan({"cpu": [{"mode": "host-passthrough"}]}, {"id": True, "arch": True, "cpu": [{}]}))
    assert gives(found) == (YES, YES)


def test_modules_hold_domains_as_well_and_data_sources_are_none() -> None:
    child = {"resources": [{"address": "module.a.libvirt_domain.x", "type": "libvirt_domain", "values": {"name": "x"}}]}
    root = {
        "resources": [{"address": "data.libvirt_domain.y", "mode": "data", "type": "libvirt_domain"}],
        "child_modules": [child],
    }
    found = defined(("plan.json", json.dumps({"planned_values": {"root_module": root}})))
    assert [each.name for each in found] == ["x"]


@pytest.mark.parametrize("values", [{"arch": "aarch64"}, {"os": {"arch": "aarch64"}}, {"os": {"type_arch": "aarch64"}}])
def test_the_architecture_is_read_by_each_of_its_names(values: dict[str, Any]) -> None:
    assert only(plan(values)).architecture == "aarch64"


def test_an_emulated_domain_is_one() -> None:
    assert only(plan({"type": "qemu"})).type == "qemu"


@pytest.mark.parametrize(
    ("values", "resource", "says"),
    [
        ({"cpu": [{}, {}]}, {}, "has 2 blocks"),
        ({"cpu": "host"}, {}, "cpu is not a mapping"),
        ({"name": 5}, {}, "name is not text"),
        ({}, {"address": None}, "it has no address"),
    ],
)
def test_what_terraform_would_not_print_is_an_error(
    values: dict[str, Any], resource: dict[str, Any], says: str
) -> None:
    with pytest.raises(NotObserved, match=says):
        only(plan(values, **resource))
