"""Regenerate the example estates: `python -m examples.make_estates`."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from nested_kvm.evidence.bundle import Bundle, DomainRecord, LibvirtAnswer
from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.sources import VM_HOLDERS, VMM_PROCESSES
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.version import VERSION
from tests.support.evaluation import readings_of

ESTATES: Final = Path(__file__).parent / "estates"
UUIDS: Final = tuple(f"0d8f8f0a-6f9d-4d0b-9a55-00000000000{number}" for number in (1, 2, 3))
OBSERVED: Final = datetime(2026, 1, 1, tzinfo=UTC)
URI: Final = "qemu:///system"
KVM: Final = "amd-passes"
"""The recorded machine that every host here is made of."""
OFF: Final = "amd-nested-off"


def qemu(pid: int, name: str, cpu: str, uuid: str | None = None) -> str:
    """One QEMU process, as the probe prints it."""
    words = [f"{pid} program=qemu-system-x86_64", f"{pid} name=guest={name},debug-threads=on"]
    words += [] if uuid is None else [f"{pid} uuid={uuid}"]
    return "\n".join([*words, f"{pid} accel=kvm", f"{pid} cpu={cpu}"])


def host(name: str, *processes: str, recorded: str = KVM) -> Bundle:
    """The evidence of a host without libvirt that runs these processes."""
    pids = "\n".join(process.split(maxsplit=1)[0] for process in processes)
    readings = {
        **readings_of(recorded)[recorded],
        VMM_PROCESSES: Reading(VMM_PROCESSES, Status.OK, "\n".join(processes), 0),
        VM_HOLDERS: Reading(VM_HOLDERS, Status.OK, pids, 0),
    }
    target = Target(name, TargetLevel.L0, Address.parse(f"ssh://root@{name}"), Policy())
    return Bundle(target, OBSERVED, VERSION, readings)


def with_libvirt(bundle: Bundle, *domains: DomainRecord) -> Bundle:
    """The evidence of a host whose libvirt has these domains."""
    types = {"x86_64": ("qemu", "kvm")}
    answer = LibvirtAnswer(URI, "libvirt", domains=domains, domain_types=types, version=9_000_000)
    return replace(bundle, target=replace(bundle.target, libvirt=URI), libvirt=answer)


def domain(name: str, uuid: str, cpu: str) -> DomainRecord:
    """A running domain with this `<cpu>`."""
    xml = f"<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><os><type>hvm</type></os>{cpu}</domain>"
    return DomainRecord(name, uuid, "running", inactive_xml=xml, live_xml=xml, saved_states=(), has_managed_save=False)


def kubevirt_node(name: str, *labels: str, ip: str) -> dict[str, Any]:
    """A Node as kubectl prints it."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": dict.fromkeys(labels, "true")},
        "status": {
            "nodeInfo": {"architecture": "amd64"},
            "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}],
        },
    }


def kubevirt_guest(
    name: str, model: str, node: str | None = None, started_with: str | None = None
) -> Iterator[dict[str, Any]]:
    """A VirtualMachine, and what runs of it."""
    space, _, own = name.partition("/")
    yield {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": own, "namespace": space},
        "spec": {"template": {"spec": {"domain": {"cpu": {"model": model}}}}},
        "status": {"created": node is not None},
    }
    if node is not None:
        owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": own}
        yield {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": {"name": own, "namespace": space, "ownerReferences": [owner]},
            "spec": {"architecture": "amd64", "domain": {"cpu": {"model": started_with or model}}},
            "status": {"nodeName": node, "phase": "Running"},
        }


def kubevirt_list(*objects: Mapping[str, Any]) -> str:
    """What `kubectl get … -o json` prints."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=2) + "\n"


_HANDLED: Final = "kubevirt.io/schedulable"
_AMD: Final = "cpu-vendor.node.kubevirt.io/AMD"
_SVM: Final = "cpu-feature.node.kubevirt.io/svm"
_POLICY: Final = "policy: {undeclared: forbidden}   # of each guest that no pattern names\n"


def kubevirt() -> Iterator[tuple[str, str]]:
    """The files of the KubeVirt example."""
    yield (
        "inventory.yaml",
        (
            "# kubectl get nodes,vm,vmi,kubevirt -A -o json > estate.json\n"
            "estate:\n  file: estate.json\n  address: ssh://core@{name}\n"
            f"{_POLICY}guests:\n  ci/*: {{nested: required}}\n"
        ),
    )
    yield (
        "estate.json",
        kubevirt_list(
            kubevirt_node("node-1", _HANDLED, _AMD, _SVM, ip="192.0.2.11"),
            kubevirt_node("node-2", _HANDLED, _AMD, _SVM, ip="192.0.2.12"),
            kubevirt_node("control-1", ip="192.0.2.10"),
            *kubevirt_guest("ci/runner-1", "host-passthrough", "node-1"),
            *kubevirt_guest("ci/runner-2", "host-passthrough", "node-1", started_with="EPYC"),
            *kubevirt_guest("ci/runner-3", "EPYC"),
            *kubevirt_guest("web/shop", "EPYC", "node-2"),
            {
                "apiVersion": "kubevirt.io/v1",
                "kind": "KubeVirt",
                "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
            },
        ),
    )


def proxmox() -> Iterator[tuple[str, str]]:
    """The files of the Proxmox VE example."""
    yield (
        "inventory.yaml",
        (
            "# scp -r root@pve-1:/etc/pve .\n"
            "estate:\n  file: pve\n  address: ssh://root@{ip}\n"
            f"{_POLICY}guests:\n  nested-*: {{nested: required}}\n"
        ),
    )
    nodes = {"pve-1": {"id": 1, "online": 1, "ip": "192.0.2.21"}, "pve-2": {"id": 2, "online": 1, "ip": "192.0.2.22"}}
    yield "pve/.members", json.dumps({"nodename": "pve-1", "version": 4, "nodelist": nodes}) + "\n"
    one, two = "pve/nodes/pve-1/qemu-server", "pve/nodes/pve-2/qemu-server"
    yield f"{one}/100.conf", "cores: 4\ncpu: host\nmemory: 8192\nname: nested-1\n"
    saved = "[installed]\ncores: 4\nmemory: 8192\nname: nested-2\nrunningcpu: kvm64,enforce,+kvm_pv_eoi,+lahf_lm\n"
    saved += "runningmachine: pc-i440fx-9.2+pve1\nvmstate: local-lvm:vm-101-state-installed\n"
    own = "cores: 4\ncpu: host\nmemory: 8192\nname: nested-2\n"
    yield f"{one}/101.conf", f"{own}\n[PENDING]\ncpu: x86-64-v2-AES\n\n{saved}"
    yield f"{two}/102.conf", "cores: 2\ncpu: host\nmemory: 4096\nname: web\n"
    yield f"{two}/103.conf", "cores: 2\ncpu: x86-64-v2-AES\nmemory: 2048\n"
    yield f"{two}/900.conf", "cpu: host\nmemory: 2048\nname: golden\ntemplate: 1\n"
    yield "pve/nodes/pve-2/lxc/200.conf", "arch: amd64\nhostname: dns\nrootfs: local-lvm:vm-200-disk-0\n"


def incus_instance(name: str, location: str, uuid: str | None, raw: str = "", *, stopped: bool = False) -> Any:
    """An instance as `incus list --format json` prints it; without a uuid it is a container."""
    config = {} if uuid is None else {"volatile.uuid": uuid}
    config |= {"raw.qemu": raw} if raw else {}
    return {
        "name": name,
        "type": "container" if uuid is None else "virtual-machine",
        "status": "Stopped" if stopped else "Running",
        "architecture": "x86_64",
        "location": location,
        "project": "default",
        "profiles": ["default"],
        "config": config,
        "expanded_config": config,
        "devices": {},
        "stateful": False,
        "snapshots": [],
    }


def incus() -> Iterator[tuple[str, str]]:
    """The files of the Incus example, which are recorded and stay as they are."""
    for name in ("estate.json", "inventory.yaml"):
        yield name, (ESTATES / "incus" / name).read_text()


def openstack() -> Iterator[tuple[str, str]]:
    """The files of the OpenStack example; its hosts have libvirt, so that the evidence shows the definitions."""
    yield (
        "inventory.yaml",
        (
            "# openstack server list --all-projects --long -f json > servers.json\n"
            "estate: {file: servers.json, address: 'ssh://root@{name}'}\n"
            f"{_POLICY}guests:\n  ci-*: {{nested: required}}\n"
        ),
    )
    servers = [
        {"ID": UUIDS[0], "Name": "ci-1", "Status": "ACTIVE", "Host": "compute-1"},
        {"ID": UUIDS[1], "Name": "ci-2", "Status": "ACTIVE", "Host": "compute-2"},
        {"ID": UUIDS[2], "Name": "web", "Status": "SHELVED_OFFLOADED", "Host": None},
    ]
    yield "servers.json", json.dumps(servers, indent=2) + "\n"


FILES: Final = {"kubevirt": kubevirt, "proxmox": proxmox, "incus": incus, "openstack": openstack}


def evidence() -> dict[str, list[Bundle]]:
    """The evidence of the hosts of each estate."""
    return {
        "kubevirt": [
            host("node-1", qemu(100, "ci_runner-1", "host"), qemu(101, "ci_runner-2", "EPYC,svm=off")),
            host("node-2", qemu(200, "web_shop", "EPYC,svm=off"), recorded=OFF),
        ],
        "proxmox": [
            host("pve-1", qemu(100, "nested-1", "host,+kvm_pv_eoi"), qemu(101, "nested-2", "host,+kvm_pv_eoi")),
            host("pve-2", qemu(102, "web", "host,+kvm_pv_eoi")),
        ],
        "openstack": [
            with_libvirt(
                host("compute-1", qemu(100, "instance-00000001", "host", UUIDS[0])),
                domain("instance-00000001", UUIDS[0], "<cpu mode='host-passthrough'/>"),
            ),
            with_libvirt(
                host("compute-2", qemu(100, "instance-00000002", "EPYC", UUIDS[1])),
                domain("instance-00000002", UUIDS[1], "<cpu mode='custom'><model>EPYC</model></cpu>"),
            ),
        ],
    }


def main() -> None:
    """Write every estate that is not recorded, and the evidence of its hosts."""
    for estate in evidence():
        shutil.rmtree(ESTATES / estate, ignore_errors=True)
        for name, text in FILES[estate]():
            path = ESTATES / estate / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for bundle in evidence()[estate]:
            (ESTATES / estate / "evidence").mkdir(exist_ok=True)
            write_bundle(ESTATES / estate / "evidence", bundle)


if __name__ == "__main__":
    main()
