"""An estate as the inventory of an audit: its definitions, and what really runs from the evidence of its hosts."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from examples.make_estates import (
    ESTATES,
    FILES,
    OBSERVED,
    UUIDS,
    evidence,
    host,
    incus_instance,
    kubevirt_guest,
    kubevirt_list,
    kubevirt_node,
    qemu,
)
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.sources import VMM_PROCESSES
from tests.support.schema import assert_valid
from tests.support.sosreports import tar_of
from tests.support.sshd import SshdFactory
from tests.support.suite import SuiteRun, run_suite

DEFINITION, RUNNING, SAVED = "DOM-CPU-02", "DOM-CPU-03", "DOM-CPU-04"
SCHEDULABLE = "kubevirt.io/schedulable"


def outcomes(run: SuiteRun, control: str) -> dict[str, str]:
    found = [each for each in run.document["results"] if each["control"] == control]
    return {each["subject"]: " ".join(filter(None, (each["outcome"], each["cause"]))) for each in found}


def audit(folder: Path, bundles: list[Bundle], *words: str) -> SuiteRun:
    for bundle in bundles:
        write_bundle(folder / "evidence", bundle)
    return run_suite(
        f"--inventory={folder / 'inventory.yaml'}",
        f"--evidence={folder / 'evidence'}",
        *words,
        report_dir=folder / "reports",
    )


def estate(folder: Path, text: str, inventory: str = "") -> Path:
    (folder / "evidence").mkdir()
    (folder / "estate.json").write_text(text)
    (folder / "inventory.yaml").write_text(f"estate: {{file: estate.json}}\n{inventory}")
    return folder


@pytest.mark.parametrize("name", evidence())
def test_each_example_is_as_it_is_generated(name: str) -> None:
    for file, text in FILES[name]():
        assert (ESTATES / name / file).read_text() == text
    assert {path.stem for path in (ESTATES / name / "evidence").iterdir()} == {
        bundle.target.name for bundle in evidence()[name]
    }
    assert {bundle.observed_at for bundle in evidence()[name]} == {OBSERVED}


EXPECTED: Mapping[str, tuple[dict[str, str], dict[str, str], str]] = {
    "kubevirt": (
        {
            "ci/runner-1": "pass",
            "ci/runner-2": "pass",
            "ci/runner-3 on node-1": "fail named-model-lacks-flag",
            "ci/runner-3 on node-2": "fail named-model-lacks-flag",
            "web/shop": "pass",
        },
        {
            "ci/runner-1": "pass",
            "ci/runner-2": "fail power-cycle-pending",
            "ci/runner-3 on node-1": "notapplicable",
            "ci/runner-3 on node-2": "notapplicable",
            "web/shop": "pass",
        },
        "1 node left out, as virt-handler does not run there: control-1",
    ),
    "proxmox": (
        {
            "nested-1": "pass",
            "nested-2": "fail named-model-lacks-flag",
            "web": "fail domain-gives-flag",
            "103": "pass",
        },
        {"nested-1": "pass", "nested-2": "fail power-cycle-pending", "web": "pass", "103": "notapplicable"},
        "1 template left out, which are not started: golden",
    ),
    "incus": (
        {"ci-1": "pass", "mig": "unknown", "web": "fail domain-gives-flag"},
        {"ci-1": "pass", "mig": "unknown", "web": "notapplicable"},
        "1 container left out, as they have the CPU of their host: dns",
    ),
    "openstack": (
        {"ci-1": "pass", "ci-2": "fail named-model-lacks-flag"},
        {"ci-1": "pass", "ci-2": "pass"},
        "1 server left out, as it is on no host: web (SHELVED_OFFLOADED)",
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_example_has_guests_that_pass_and_guests_that_fail(name: str, tmp_path: Path) -> None:
    folder = ESTATES / name
    run = run_suite(
        f"--inventory={folder / 'inventory.yaml'}", f"--evidence={folder / 'evidence'}", report_dir=tmp_path
    )
    definitions, running, left_out = EXPECTED[name]
    assert_valid(run)
    assert run.status == 1
    assert outcomes(run, DEFINITION) == definitions
    assert outcomes(run, RUNNING) == running
    assert f"not audited: {left_out}" in run.output
    assert left_out in run.document["run"]["not_audited"]
    assert left_out.partition(":")[0] in (run.reports / "summary.md").read_text()
    assert left_out in (run.reports / "report.html").read_text()
    files = {Path(each["file"]).name for each in run.document["run"]["inputs"] if each["kind"] == "inventory"}
    assert files == {"inventory.yaml", {"proxmox": "pve", "openstack": "servers.json"}.get(name, "estate.json")}


def test_a_snapshot_of_proxmox_brings_back_the_cpu_that_it_was_saved_with(tmp_path: Path) -> None:
    folder = ESTATES / "proxmox"
    run = run_suite(
        f"--inventory={folder / 'inventory.yaml'}", f"--evidence={folder / 'evidence'}", report_dir=tmp_path
    )
    assert outcomes(run, SAVED)["nested-1"] == "pass"
    assert outcomes(run, SAVED)["nested-2"] == "fail saved-state-has-old-cpu"
    (found,) = (each for each in run.document["results"] if each["cause"] == "saved-state-has-old-cpu")
    (shown,) = found["evidence"]
    assert shown["source"].endswith("101.conf:13")
    assert shown["text"] == "type=kvm, cpu: -cpu kvm64,enforce,+kvm_pv_eoi,+lahf_lm"
    assert "qm delsnapshot 101 installed" in found["remediation"]


def test_what_an_estate_says_never_stands_for_what_was_not_seen_on_its_hosts(tmp_path: Path) -> None:
    """Each guest is defined as required; what its host shows differs."""
    names = ("gone", "hidden", "other", "unread", "emulated")
    nodes = [
        kubevirt_node(f"n-{name}", SCHEDULABLE, "cpu-feature.node.kubevirt.io/svm", ip="192.0.2.1") for name in names
    ]
    guests = [each for name in names for each in kubevirt_guest(f"ci/{name}", "host-passthrough", f"n-{name}")]
    folder = estate(tmp_path, kubevirt_list(*nodes, *guests), "guests: {'*': {nested: required}}\n")
    hidden, unread = host("n-hidden"), host("n-unread")
    emulated = host("n-emulated", qemu(100, "ci_emulated", "host").replace("accel=kvm", "accel=tcg"))
    processes = {
        "hidden": Reading(VMM_PROCESSES, Status.UNREADABLE, ""),
        "unread": Reading(VMM_PROCESSES, Status.TIMED_OUT, ""),
    }
    bundles = [
        host("n-gone"),
        replace(hidden, readings={**hidden.readings, VMM_PROCESSES: processes["hidden"]}),
        host("n-other", qemu(100, "ci_other", "host,-svm")),
        replace(unread, readings={**unread.readings, VMM_PROCESSES: processes["unread"]}),
        replace(
            emulated,
            readings={
                **emulated.readings,
                "ls -lq /proc/[0-9]*/fd": Reading("ls -lq /proc/[0-9]*/fd", Status.OK, "", 0),
            },
        ),
    ]
    run = audit(folder, bundles)
    assert {name: found for name, found in outcomes(run, RUNNING).items() if name.startswith("ci/")} == {
        "ci/gone": "unknown",
        "ci/hidden": "unknown",
        "ci/other": "fail power-cycle-pending",
        "ci/unread": "error",
        "ci/emulated": "fail power-cycle-pending",
    }
    assert outcomes(run, DEFINITION)["ci/unread"] == "error"
    assert run.status == 1


def test_a_node_that_was_not_inspected_is_an_error_whatever_its_labels_say(tmp_path: Path) -> None:
    nodes = [
        kubevirt_node(name, SCHEDULABLE, "cpu-feature.node.kubevirt.io/svm", ip="192.0.2.1") for name in ("a", "b")
    ]
    guests = [each for name in "ab" for each in kubevirt_guest(f"ci/{name}", "host-passthrough", name)]
    folder = estate(tmp_path, kubevirt_list(*nodes, *guests), "guests: {'*': {nested: required}}\n")
    run = audit(folder, [host("a", qemu(100, "ci_a", "host"))])
    assert outcomes(run, DEFINITION) == {"ci/a": "pass", "ci/b": "error"}
    assert run.status == 6


def test_a_label_decides_nothing_where_the_node_itself_shows_otherwise(tmp_path: Path) -> None:
    """The label offers svm; the module's parameter on the node is off."""
    labelled = kubevirt_node("a", SCHEDULABLE, "cpu-feature.node.kubevirt.io/svm", ip="192.0.2.1")
    folder = estate(tmp_path, kubevirt_list(labelled), "")
    run = audit(folder, [host("a", recorded="amd-nested-off")])
    assert outcomes(run, "L0-KVM-04") == {"a": "fail nested-off"}


def test_guests_of_an_estate_without_a_policy_are_reported_and_a_process_that_it_lacks_as_well(tmp_path: Path) -> None:
    folder = estate(tmp_path, json.dumps([incus_instance("ci-1", "h", "0d8f8f0a-6f9d-4d0b-9a55-000000000001")]))
    run = audit(folder, [host("h", qemu(7, "stray", "kvm64"))])
    assert outcomes(run, DEFINITION) == {
        "ci-1": "informational",
        "stray": "informational named-model-lacks-flag",
    }
    assert {each["target"] for each in run.document["answers"]} == {"h"}
    assert "1 guest only reported" in run.output
    (tmp_path / "inventory.yaml").write_text("estate: {file: estate.json}\npolicy: {undeclared: required}\n")
    run = audit(folder, [])
    assert outcomes(run, DEFINITION) == {"ci-1": "pass", "stray": "fail named-model-lacks-flag"}


def test_two_guests_of_one_process_name_are_not_decided_by_one_process(tmp_path: Path) -> None:
    for number in (100, 101):
        path = tmp_path / "pve" / "nodes" / "p" / "qemu-server" / f"{number}.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("name: twin\ncpu: host\n")
    (tmp_path / "evidence").mkdir()
    (tmp_path / "inventory.yaml").write_text("estate: {file: pve}\nguests: {'twin*': {nested: required}}\n")
    run = audit(tmp_path, [host("p", qemu(7, "twin", "kvm64"))])
    found = outcomes(run, DEFINITION)
    assert [found["twin (100)"], found["twin (101)"]] == ["unknown", "unknown"]


def test_a_snapshot_with_memory_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "pve" / "nodes" / "p" / "qemu-server" / "100.conf"
    path.parent.mkdir(parents=True)
    path.write_text("name: a\ncpu: host\n[before]\ncpu: kvm64\nvmstate: local:vm-100-state\n")
    (tmp_path / "evidence").mkdir()
    (tmp_path / "inventory.yaml").write_text("estate: {file: pve}\nguests: {a: {nested: required}}\n")
    run = audit(tmp_path, [host("p", qemu(7, "a", "host"))])
    assert outcomes(run, SAVED) == {"a": "unknown"}


def test_of_a_must_gather_the_live_xml_shows_what_runs(tmp_path: Path) -> None:
    """It holds no processes; of a guest without a live XML it is not known what runs."""
    names = ("same", "changed", "unseen")
    node = kubevirt_node("worker-1", SCHEDULABLE, ip="192.0.2.1")
    guests = [each for name in names for each in kubevirt_guest(f"ci/{name}", "host-passthrough", "worker-1")]
    folder = estate(tmp_path, kubevirt_list(node, *guests), "guests: {'*': {nested: required}}\n")
    top = "must-gather.local.1/registry-sha256-1"
    files: dict[str, bytes | str | Path] = {
        f"{top}/timestamp": "2026-11-01 10:00:00.000000000 +0000 UTC\n",
        f"{top}/cluster-scoped-resources/core/nodes/worker-1.yaml": json.dumps(
            {"kind": "Node", "status": {"nodeInfo": {"architecture": "amd64", "kernelVersion": "6.1.0-56-cloud-amd64"}}}
        ),
    }
    cpus = {"same": "<cpu mode='host-passthrough'/>", "changed": "<cpu><model>EPYC</model></cpu>"}
    for (name, cpu), uuid in zip(cpus.items(), UUIDS, strict=False):
        head = f"<domain type='kvm' id='1'><name>ci_{name}</name><uuid>{uuid}</uuid>"
        xml = f"{head}<os><type>hvm</type></os>{cpu}</domain>"
        files[f"{top}/namespaces/ci/vms/{name}/virt-launcher-1.dumpxml.xml"] = xml
        files[f"{top}/namespaces/ci/kubevirt.io/virtualmachineinstances/{name}.yaml"] = "status: {nodeName: worker-1}\n"
    (folder / "evidence" / "must-gather.tar").write_bytes(tar_of(files))
    run = audit(folder, [])
    assert run.target("worker-1")["observed"]
    found = {each["subject"]: each for each in run.document["results"] if each["control"] == "DOM-CPU-01"}
    shown = {name: found[f"ci/{name}"]["evidence"][1]["text"] for name in ("same", "changed")}
    assert shown == {"same": "cpu: host-passthrough", "changed": "cpu: custom, EPYC"}
    assert set(outcomes(run, RUNNING).values()) == {"unknown"}, "it does not hold the CPU's flags"
    assert run.document["run"]["verdict"] == "NOT DECIDED"


@pytest.mark.needs("sshd")
def test_the_hosts_of_an_estate_are_reached_as_the_ssh_config_says(tmp_path: Path, start_sshd: SshdFactory) -> None:
    """The node is this machine, on which no process of the guest runs, whatever the cluster's list shows."""
    node = start_sshd()
    labelled = kubevirt_node("node-1", SCHEDULABLE, ip="192.0.2.1")
    folder = estate(tmp_path, kubevirt_list(labelled, *kubevirt_guest("ci/a", "host-passthrough", "node-1")))
    (folder / "known_hosts").write_text(node.known_hosts())
    (folder / "ssh_config").write_text(
        f"Host node-1\n  HostName 127.0.0.1\n  Port {node.port}\n  User root\n  IdentityFile {node.identity}\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n  IdentitiesOnly yes\n"
    )
    run = run_suite(
        f"--inventory={folder / 'inventory.yaml'}", f"--ssh-config={folder / 'ssh_config'}", report_dir=folder / "out"
    )
    assert run.target("node-1")["observed"]
    found = [each for each in run.document["results"] if each["subject"] == "ci/a" and each["control"] == RUNNING]
    assert [each["outcome"] for each in found] == ["informational"]
    assert "no process of it was found" in found[0]["message"]


def test_a_candidate_has_the_policy_of_the_guest_of_its_name_in_the_estate(tmp_path: Path) -> None:
    folder = estate(
        tmp_path,
        kubevirt_list(
            kubevirt_node("a", SCHEDULABLE, ip="192.0.2.1"), *kubevirt_guest("web/shop", "host-passthrough", "a")
        ),
        "guests: {web/*: {nested: forbidden}}\n",
    )
    changed = tmp_path / "shop.json"
    changed.write_text(json.dumps(next(kubevirt_guest("web/shop", "EPYC"))))
    run = audit(folder, [host("a")], f"--candidate={changed}")
    assert outcomes(run, DEFINITION) == {"web/shop": "pass"}
