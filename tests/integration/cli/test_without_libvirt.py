"""Hosts without libvirt: each QEMU process is a domain; and no process may show the flag where that is forbidden."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.model.policy import Nested, Policy, Undeclared
from tests.support.running_machines import CMDLINES, DEBUGFS, HOLDERS, machine, ok
from tests.support.schema import assert_valid
from tests.support.suite import SuiteRun, run_suite

REQUIRED = Policy(undeclared=Undeclared.REQUIRED)
FORBIDDEN = Policy(Nested.FORBIDDEN, undeclared=Undeclared.FORBIDDEN)

PROCESSES = """\
100 program=kvm
100 name=vm-100,debug-threads=on
100 cpu=kvm64,enforce,+kvm_pv_eoi,+lahf_lm
101 program=kvm
101 name=it's; touch x
101 cpu=host,+kvm_pv_eoi
102 program=qemu-system-x86_64
102 cpu=EPYC,svm=on
102 accel=tcg
103 program=qemu-system-x86_64
103 name=incus
103 cpu=host,hv_passthrough
104 program=qemu-system-x86_64
104 name=open
104 cpu=EPYC,+svm,svm=off
"""
KVM_HOLDERS = ok(HOLDERS, "100\n101\n103\n104\n")
COUNTERS = ok(DEBUGFS, "100-9/nested_run=0\n101-9/nested_run=5\n101-9/vcpu0/guest_mode=1\n103-9/nested_run=5\n")


def hosts() -> list[Bundle]:
    def host(name: str, policy: Policy, *readings: Reading) -> Bundle:
        return machine(name, ok(CMDLINES, PROCESSES), KVM_HOLDERS, COUNTERS, *readings, policy=policy)

    declared = machine("guest", policy=FORBIDDEN)
    target = replace(declared.target, address=None, host="proxmox", domain="vm-100")
    quiet = "100 program=kvm\n100 cpu=kvm64\n"
    return [
        host("proxmox", REQUIRED),
        Bundle(target, declared.observed_at, "0"),
        host("forbids", FORBIDDEN),
        host("forbids-off", FORBIDDEN, ok("/sys/module/kvm_amd/parameters", "nested=0\n")),
        host("quiet", FORBIDDEN, ok(CMDLINES, quiet), ok(HOLDERS, "100\n")),
        host("unknown-program", FORBIDDEN, ok(CMDLINES, quiet), ok(HOLDERS, "100\n101\n")),
        host("plain-user", FORBIDDEN, Reading(CMDLINES, Status.UNREADABLE, quiet)),
        host("firecracker", FORBIDDEN, ok(CMDLINES, "100 program=firecracker\n")),
        machine("older", policy=FORBIDDEN),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    folder = tmp_path_factory.mktemp("processes")
    for bundle in hosts():
        write_bundle(folder, bundle)
    return run_suite(f"--evidence={folder}", report_dir=folder / "reports")


def told(run: SuiteRun, target: str, control: str) -> dict[str, dict[str, Any]]:
    found = [each for each in run.document["results"] if (each["target"], each["control"]) == (target, control)]
    return {each["subject"]: each for each in found}


def outcomes(run: SuiteRun, target: str, control: str) -> dict[str, str]:
    results = told(run, target, control)
    return {subject: " ".join(filter(None, (each["outcome"], each["cause"]))) for subject, each in results.items()}


def test_each_qemu_process_is_a_domain(run: SuiteRun) -> None:
    assert outcomes(run, "proxmox", "DOM-CPU-01") == {
        "guest": "notapplicable",
        "it's; touch x": "pass",
        "qemu-system-x86_64-102": "fail domain-emulated",
        "incus": "pass",
        "open": "pass",
    }


def test_it_is_judged_by_its_cpu_argument(run: SuiteRun) -> None:
    assert outcomes(run, "proxmox", "DOM-CPU-02") == {
        "guest": "pass",
        "it's; touch x": "pass",
        "qemu-system-x86_64-102": "notapplicable",
        "incus": "pass",
        "open": "unknown",
    }
    assert outcomes(run, "forbids", "DOM-CPU-02") == {
        "vm-100": "pass",
        "it's; touch x": "fail domain-gives-flag",
        "qemu-system-x86_64-102": "notapplicable",
        "incus": "fail domain-gives-flag",
        "open": "unknown",
    }


def test_the_evidence_quotes_the_process(run: SuiteRun) -> None:
    result = told(run, "forbids", "DOM-CPU-02")["incus"]
    assert result["evidence"] == [{"source": "/proc/103/cmdline", "text": "type=kvm, cpu: -cpu host,hv_passthrough"}]
    assert result["message"] == "svm is exposed: -cpu host,hv_passthrough copies the host's flags"


def test_a_remedy_without_libvirt_names_no_command_of_libvirt(run: SuiteRun) -> None:
    remedy = "\n".join(told(run, "forbids", "DOM-CPU-02")["it's; touch x"]["remediation"])
    assert "vir" not in remedy
    assert "'it'\"'\"'s; touch x'" in remedy


def test_an_l2_is_seen_by_the_kernels_own_counters_once_somebody_asks(run: SuiteRun, tmp_path: Path) -> None:
    assert outcomes(run, "forbids", "DOM-OPS-01") == {}
    for bundle in hosts():
        write_bundle(tmp_path, bundle)
    asked = run_suite("-m", "maintenance", f"--evidence={tmp_path}", report_dir=tmp_path / "reports")
    assert {result["control"] for result in asked.document["results"]} == {"DOM-OPS-01"}
    assert outcomes(asked, "forbids", "DOM-OPS-01") == {
        "vm-100": "pass",
        "it's; touch x": "fail l2-running",
        "qemu-system-x86_64-102": "unknown",
        "incus": "unknown",
        "open": "unknown",
    }


@pytest.mark.parametrize(
    ("host", "outcome"),
    [
        ("proxmox", "notapplicable"),
        ("forbids", "fail guest-has-flag"),
        ("forbids-off", "pass"),
        ("quiet", "pass"),
        ("unknown-program", "unknown"),
        ("plain-user", "unknown"),
        ("firecracker", "unknown"),
        ("older", "error"),
    ],
)
def test_no_process_may_show_the_flag_where_it_is_forbidden(run: SuiteRun, host: str, outcome: str) -> None:
    assert outcomes(run, host, "L0-SEC-02") == {host: outcome}


def test_the_finding_names_the_guests_and_each_process(run: SuiteRun) -> None:
    result = told(run, "forbids", "L0-SEC-02")["forbids"]
    assert result["message"] == "the flag is exposed to the guest of it's; touch x, incus"
    assert [each["source"] for each in result["evidence"]] == ["/proc/101/cmdline", "/proc/103/cmdline"]
    assert result["remediation"][0].startswith("tr '\\0' ' ' </proc/101/cmdline  # kvm (it's; touch x): -cpu host")


def test_the_results_keep_to_their_schema(run: SuiteRun) -> None:
    assert_valid(run)
