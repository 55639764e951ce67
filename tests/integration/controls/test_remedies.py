"""What is printed to mend a finding does mend it, where that can be tried with real programs."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.parameter import ParameterType, Setting, read_parameter
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.cause import Cause
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.model.verdict import Evidence, Finding
from nested_kvm.remediation import remediation
from tests.support.bundles import bundle_of
from tests.support.scenario_fleet import FleetRun

AMD = "processor : 0\nvendor_id : AuthenticAMD\nflags : svm\n"


@pytest.mark.parametrize("nested", [Nested.REQUIRED, Nested.FORBIDDEN])
@pytest.mark.parametrize(
    "options",
    [
        "nested=y",
        "nested",
        "nested='1'",
        "npt=1 nested=Y",
        "nested=1 nested=on avic=1",
        "nested=y # why",
        "nested_early_check=0 nested=y",
    ],
)
def test_the_line_with_the_invalid_value_is_mended_and_no_other(tmp_path: Path, nested: Nested, options: str) -> None:
    file = tmp_path / "it's a.conf"
    file.write_text(f"# nested=y\noptions kvm_amd {options}\noptions kvm_intel nested=Y\n")
    subject = Subject(Machine(bundle_of(uname="x86_64", cpuinfo=AMD)), "kvm-a", Policy(nested))
    finding = Finding(Cause.PERSISTED_VALUE_INVALID, "", Evidence(f"{file}:2", f"options kvm_amd {options}"))
    command, *_ = remediation(subject, finding)
    subprocess.run(["/bin/sh", "-c", command], check=True)
    comment, mended, other = file.read_text().splitlines()
    assert (comment, other) == ("# nested=y", "options kvm_intel nested=Y")
    found = read_parameter(mended.removeprefix("options kvm_amd "), "nested", ParameterType.INT)
    assert found.setting is (Setting.ON if nested is Nested.REQUIRED else Setting.OFF)
    assert ("npt=1" in mended, "avic=1" in mended) == ("npt=1" in options, "avic=1" in options)
    assert ("nested_early_check=0" in mended) is ("nested_early_check=0" in options)


def test_an_invalid_value_on_a_continuation_line_is_fixed_there_and_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "kvm.conf"
    text = "options kvm_amd npt=1 \\\n  nested=y \\\n  avic=1\noptions other nested=y\n"
    file.write_text(text)
    bundle = bundle_of(uname="x86_64", cpuinfo=AMD)
    bundle = replace(bundle, readings={**bundle.readings, str(file): Reading(str(file), Status.OK, text)})
    subject = Subject(Machine(bundle), "kvm-a", Policy())
    finding = Finding(Cause.PERSISTED_VALUE_INVALID, "", Evidence(f"{file}:1", "options kvm_amd npt=1 nested=y avic=1"))
    command, *_ = remediation(subject, finding)
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert file.read_text() == text.replace("  nested=y", "  nested=1")


@pytest.mark.parametrize(
    ("control", "scenario", "is_reloaded"),
    [("L0-PER-02", "amd-reload-into-off", False), ("L0-KVM-04", "amd-off-and-invalid", True)],
)
def test_no_remedy_reloads_into_a_value_that_violates_the_policy(
    fleet_run: FleetRun, control: str, scenario: str, *, is_reloaded: bool
) -> None:
    commands = fleet_run.results[scenario]["", control]["remediation"]
    kept = next(number for number, line in enumerate(commands) if re.search(r"(> |/g' )/etc/modprobe\.d", line))
    reloads = [number for number, line in enumerate(commands) if line.startswith("modprobe -r ")]
    assert bool(reloads) is is_reloaded
    assert all(number > kept for number in reloads)
    assert all(kept < number for number, line in enumerate(commands) if line.startswith("virsh "))


@pytest.mark.parametrize(
    ("scenario", "control", "wanted", "unwanted"),
    [
        ("amd-nested-y", "L0-PER-01", "sed -i.bak", "/proc/cmdline"),
        ("amd-cmdline-invalid", "L0-PER-01", "/etc/default/grub", "sed"),
        ("amd-cmdline-overrides", "L0-PER-01", "/etc/default/grub", "/etc/modprobe.d"),
        ("amd-built-in-file-only", "L0-PER-03", "kvm_amd.nested=1", "> /etc/modprobe.d"),
        ("intel-nested-off", "L0-PER-01", "/nested=1/g", "kvm_amd"),
        ("amd-forbidden-fails", "L0-PER-01", "options kvm_amd nested=0", "nested=1"),
        ("amd-dev-kvm-plain-file", "L0-KVM-01", "mv /dev/kvm", "nested"),
        ("aarch64-started-without-el2", "L0-KVM-03", "at EL2", "vmx"),
        ("aarch64-gicv2", "L0-KVM-03", "without kvm-arm.mode=nested", "vmx"),
        ("amd-built-in-did-not-start", "L0-KVM-03", "SVM", "/etc/modules-load.d"),
        ("amd-guest-forbidden-fails", "L1-CPU-01", "policy='disable' name='svm'", "host-passthrough"),
        ("amd-guest-without-flag", "L1-CPU-01", "host-passthrough", "disable"),
    ],
)
def test_the_remedy_fits_the_machine(
    fleet_run: FleetRun, scenario: str, control: str, wanted: str, unwanted: str
) -> None:
    commands = "\n".join(fleet_run.results[scenario]["", control]["remediation"])
    assert wanted in commands
    assert unwanted not in commands


@pytest.mark.parametrize(
    ("scenario", "domain", "options"),
    [
        ("amd-recorded", "host-model", "host-model,require=svm"),
        ("amd-recorded", "host-passthrough-svm-disabled", "require=svm"),
        ("amd-recorded", "qemu64", "host-passthrough,clearxml=yes"),
        ("amd-definitions", "forbidden-passthrough", "disable=svm"),
        ("intel", "host-model-vmx-disabled", "require=vmx"),
    ],
)
def test_a_domain_is_shut_down_changed_started_and_looked_at(
    fleet_run: FleetRun, scenario: str, domain: str, options: str
) -> None:
    commands = fleet_run.results[scenario][domain, "DOM-CPU-02"]["remediation"]
    assert [line.split()[:2] for line in commands] == [
        ["virsh", "shutdown"],
        ["virt-xml", domain],
        ["virsh", "start"],
        ["virsh", "dumpxml"],
    ]
    assert f"--edit --cpu {options} " in commands[1]


@pytest.mark.parametrize(
    ("scenario", "wanted"),
    [
        ("amd-pair-nested-off", "printf 'options kvm_amd nested=1\\n' > "),
        ("intel-pair-emulated", "virsh edit "),
        ("amd-pair-power-cycle", "virsh shutdown "),
    ],
)
def test_what_breaks_a_pair_is_mended_on_its_host(fleet_run: FleetRun, scenario: str, wanted: str) -> None:
    guest = next(name for name, each in fleet_run.diagnoses().items() if name.startswith(f"{scenario}."))
    found = [each for each in fleet_run.all() if each["control"] == "PAIR-01" and each["target"] == guest]
    assert [each["outcome"] for each in found] == ["fail"]
    assert any(line.startswith(wanted) for line in found[0]["remediation"]), found[0]["remediation"]
    assert found[0]["remediation"] == fleet_run.diagnoses()[guest]["remediation"]


def test_a_domain_named_like_an_option_goes_by_its_uuid(fleet_run: FleetRun) -> None:
    commands = fleet_run.results["amd-definitions"]["--all", "DOM-CPU-02"]["remediation"]
    assert [command.split()[:2] for command in commands[:2]] == [
        ["virsh", "shutdown"],
        ["virt-xml", str(uuid5(NAMESPACE_URL, "--all"))],
    ]
    assert not any("--all" in command for command in commands)


def test_the_running_guests_are_shut_down_before_the_module_is_reloaded(fleet_run: FleetRun) -> None:
    result: dict[str, Any] = fleet_run.results["amd-reload-pending"]["", "L0-PER-02"]
    commands = result["remediation"]
    reload = next(number for number, line in enumerate(commands) if line.startswith("modprobe -r"))
    shut_down = [number for number, line in enumerate(commands) if line.startswith("virsh shutdown")]
    assert len(shut_down) == 2
    assert max(shut_down) < reload < len(commands) - 1
