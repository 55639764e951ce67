"""The models of the installed QEMU, each asked by TCG which controls of VMX it has once it is given vmx."""

import json
import subprocess

import pytest

from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.facts.libvirt.usable_flag import why_not_usable

pytestmark = [pytest.mark.needs("qemu-system-x86_64")]
QEMU = ["qemu-system-x86_64", "-machine", "none,accel=tcg", "-S", "-display", "none", "-nodefaults", "-qmp", "stdio"]
COPIES = {"host", "max", "base"}
"""What has the controls of the host that KVM runs on, or of none."""


def asked(*commands: tuple[str, dict[str, object]]) -> list[dict[str, object]]:
    """QEMU's answers to these commands, each with its arguments."""
    lines = [
        json.dumps({"execute": name, "arguments": arguments})
        for name, arguments in (("qmp_capabilities", {}), *commands, ("quit", {}))
    ]
    done = subprocess.run(QEMU, input="\n".join(lines), capture_output=True, text=True, check=True, timeout=120)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [each for each in answers if "return" in each or "error" in each][1 : len(commands) + 1]


def test_the_models_without_controls_of_vmx_are_those_that_qemu_has_none_for() -> None:
    (models,) = asked(("query-cpu-definitions", {}))
    assert isinstance(models["return"], list)
    names = sorted({each["name"] for each in models["return"]} - COPIES)
    expansions: list[tuple[str, dict[str, object]]] = [
        ("query-cpu-model-expansion", {"type": "full", "model": {"name": name, "props": {"vmx": True}}})
        for name in names
    ]
    without = set()
    for name, answer in zip(names, asked(*expansions), strict=True):
        assert isinstance(answer["return"], dict), name
        properties = answer["return"]["model"]["props"]
        assert properties["vmx"] is True
        if not any(value is True for key, value in properties.items() if key.startswith("vmx-")):
            without.add(name)
    assert {"qemu64", "EPYC-Rome", "phenom"} <= without
    found = {name for name in names if why_not_usable(qemu_cpu_definition(f"{name},+vmx"), Vendor.INTEL)}
    assert found == without
