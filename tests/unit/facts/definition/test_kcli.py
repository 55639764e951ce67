"""Plans of kcli, as `kcli render` prints them."""

import json

import pytest

from nested_kvm.errors import NotObserved
from nested_kvm.model.answer import Answer
from tests.support.defined import defined, gives, only

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def plan(entry: dict[str, object], **beside: object) -> tuple[str, str]:
    text = json.dumps({"ci-1": {"image": "fedora42", "numcpus": 4, **entry}, **beside}, indent=1)
    return "plan.yml", text


@pytest.mark.parametrize(
    ("entry", "amd", "intel"),
    [
        ({"nested": True}, YES, YES),
        ({"nested": True, "cpumodel": "host-passthrough"}, YES, YES),
        ({"nested": True, "cpumodel": "EPYC"}, YES, YES),
        ({"nested": True, "cpuflags": ["vmx", {"name": "vmx", "policy": "disable"}]}, YES, YES),
        ({"nested": True, "cpuflags": [{"name": "svm", "policy": "disable"}]}, UNKNOWN, UNKNOWN),
        ({"nested": False, "cpumodel": "host-passthrough"}, YES, YES),
        ({"nested": False, "cpumodel": "host-model"}, NO, YES),
        ({"nested": False, "cpumodel": "EPYC"}, NO, NO),
        ({"nested": False, "cpumodel": "EPYC", "cpuflags": [{"name": "svm", "policy": "require"}]}, YES, NO),
        (
            {"nested": False, "cpumodel": "host-passthrough", "cpuflags": [{"name": "svm", "policy": "disable"}]},
            NO,
            YES,
        ),
        ({"nested": False}, UNKNOWN, UNKNOWN),
        ({"cpumodel": "host-passthrough"}, UNKNOWN, UNKNOWN),
        ({}, UNKNOWN, UNKNOWN),
        ({"nested": True, "qemuextra": "-cpu qemu64"}, UNKNOWN, UNKNOWN),
        ({"nested": True, "macosx": True}, UNKNOWN, UNKNOWN),
    ],
)
def test_nested_decides_and_then_the_model(entry: dict[str, object], amd: Answer, intel: Answer) -> None:
    assert gives(only(plan(entry))) == (amd, intel)


def test_what_a_vm_does_not_set_is_that_of_its_profile_in_the_plan() -> None:
    small = {"type": "profile", "image": "fedora42", "nested": True, "cpumodel": "EPYC"}
    assert gives(only(plan({"profile": "small"}, small=small))) == (YES, YES)
    assert gives(only(plan({"profile": "small", "nested": False}, small=small))) == (NO, NO)
    assert gives(only(plan({"profile": "small", "nested": False}))) == (UNKNOWN, UNKNOWN)


def test_only_vms_are_guests() -> None:
    others = {
        "parameters": {"image": "fedora42", "memory": 1},
        "net": {"type": "network", "cidr": "192.0.2.0/24"},
        "small": {"type": "profile", "image": "fedora42"},
    }
    assert [each.name for each in defined(plan({"nested": True}, **others))] == ["ci-1"]


def test_a_vm_under_emulation() -> None:
    assert only(plan({"nested": True, "virttype": "qemu"})).type == "qemu"


def test_the_line_is_that_which_decides() -> None:
    assert only(plan({"nested": True})).place == ":5"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"nested": "maybe"}, "nested is neither true nor false"),
        ({"nested": True, "cpuflags": [{"name": "aes", "policy": "always"}]}, "kcli knows no policy 'always'"),
        ({"nested": True, "cpuflags": "aes"}, "cpuflags is not a list"),
        ({"nested": True, "cpumodel": ["EPYC"]}, "cpumodel is not text"),
    ],
)
def test_what_kcli_does_not_take_is_refused_with_its_place(entry: dict[str, object], says: str) -> None:
    with pytest.raises(NotObserved, match=says):
        only(plan(entry))


@pytest.mark.parametrize(
    "text",
    [
        "services:\n  web: {image: nginx, ports: [80]}\n",
        "web: {image: nginx}\n",
        "image: fedora42\nnumcpus: 4\n",
        "a: {type: network, image: b, nested: true}\n",
        "worker: {image: nginx, memory: 512Mi, nested: {depth: 3}}\n",
        "worker: {image: {name: nginx}, nested: true}\n",
        "build: {image: gcc, nets: none, cmds: [make]}\n",
    ],
    ids=["compose", "image", "no VM", "network", "values", "nested image", "job"],
)
def test_other_yaml_is_no_plan(text: str) -> None:
    with pytest.raises(NotObserved, match="is not one of the known forms"):
        defined(("other.yml", text))
