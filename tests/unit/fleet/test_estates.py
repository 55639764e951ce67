"""An estate is read as the inventory of an audit: its hosts, its guests on them, and everything that is left out."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from examples.make_estates import (
    FILES,
    UUIDS,
    incus_instance,
    kubevirt_guest,
    kubevirt_list,
    kubevirt_node,
)
from nested_kvm.errors import InventoryError
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.fleet.estates.load import DeclaredFleet, load_fleet
from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Nested

SCHEDULABLE = "kubevirt.io/schedulable"


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / next(iter(files))


def example(folder: Path, name: str, **changed: str) -> DeclaredFleet:
    files = dict(FILES[name]())
    written(folder, files | {key: text for key, text in changed.items() if key != "inventory"})
    (folder / "inventory.yaml").write_text(changed.get("inventory", files["inventory.yaml"]))
    return load_fleet(folder / "inventory.yaml")


def placed(fleet: DeclaredFleet) -> dict[str, tuple[str | None, str | None]]:
    return {each.name: (each.host, each.domain) for each in fleet.inventory}


def refusal(path: Path) -> str:
    with pytest.raises(InventoryError) as error:
        load_fleet(path)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_a_kubevirt_cluster(tmp_path: Path) -> None:
    fleet = example(tmp_path, "kubevirt")
    assert placed(fleet) == {
        "node-1": (None, None),
        "ci/runner-1": ("node-1", "ci_runner-1"),
        "ci/runner-2": ("node-1", "ci_runner-2"),
        "ci/runner-3 on node-1": ("node-1", "ci_runner-3"),
        "node-2": (None, None),
        "web/shop": ("node-2", "web_shop"),
        "ci/runner-3 on node-2": ("node-2", "ci_runner-3"),
    }
    addresses = [each.address.spec for each in fleet.inventory if each.address is not None]
    assert addresses == ["ssh://core@node-1", "ssh://core@node-2"]
    policies = {each.name: each.policy.nested for each in fleet.inventory if each.host}
    assert {name for name, nested in policies.items() if nested is Nested.FORBIDDEN} == {"web/shop"}
    assert fleet.inventory.left_out == ("1 node left out, as virt-handler does not run there: control-1",)
    changed = fleet.definitions["node-1", "ci_runner-2"]
    assert (changed.domain.cpu.mode, changed.live_cpu and changed.live_cpu.model) == ("host-passthrough", "EPYC")


@pytest.mark.parametrize(("kept", "mode"), [(True, "custom"), (False, "host-passthrough")])
def test_the_next_start_of_a_guest_with_an_instancetype_is_by_its_revision(
    tmp_path: Path, *, kept: bool, mode: str
) -> None:
    machine, instance = kubevirt_guest("ci/a", "host-passthrough", "node-1")
    machine["spec"] = {"instancetype": {"name": "big"}, "template": {"spec": {"domain": {"devices": {}}}}}
    machine["status"] |= {"instancetypeRef": {"controllerRevisionRef": {"name": "r"}}} if kept else {}
    made = {
        "apiVersion": "instancetype.kubevirt.io/v1beta1",
        "kind": "VirtualMachineClusterInstancetype",
        "metadata": {"name": "big"},
    }
    now = {**made, "spec": {"cpu": {"guest": 1, "model": "host-passthrough"}}}
    revision = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": "r", "namespace": "ci", "labels": {"instancetype.kubevirt.io/object-name": "big"}},
        "data": {**made, "spec": {"cpu": {"guest": 1, "model": "EPYC"}}},
    }
    node = kubevirt_node("node-1", SCHEDULABLE, ip="192.0.2.1")
    written(tmp_path, {"estate.json": kubevirt_list(node, machine, instance, now, revision)})
    found = load_fleet(tmp_path / "estate.json").definitions["node-1", "ci_a"]
    assert found.domain.cpu.mode == mode
    assert found.live_cpu is not None
    assert found.live_cpu.mode == "host-passthrough"


def test_a_cluster_of_proxmox(tmp_path: Path) -> None:
    fleet = example(tmp_path, "proxmox")
    assert placed(fleet) == {
        "pve-1": (None, None),
        "nested-1": ("pve-1", "nested-1"),
        "nested-2": ("pve-1", "nested-2"),
        "pve-2": (None, None),
        "web": ("pve-2", "web"),
        "103": ("pve-2", "vm103"),
    }
    assert [each.address.spec for each in fleet.inventory if each.address] == [
        "ssh://root@192.0.2.21",
        "ssh://root@192.0.2.22",
    ]
    assert fleet.inventory.left_out == (
        "1 container left out, as they have the CPU of their host: pve-2/200",
        "1 template left out, which are not started: golden",
    )
    assert fleet.definitions["pve-1", "nested-2"].domain.cpu.model == "x86-64-v2-AES"


def test_servers_of_incus(tmp_path: Path) -> None:
    fleet = example(tmp_path, "incus")
    assert placed(fleet) == {
        "incus-1": (None, None),
        "ci-1": ("incus-1", "c4a12c5e-8738-412f-9fec-2aec627401cb"),
        "mig": ("incus-1", "7812012d-48a3-412c-868d-752b9d045ff5"),
        "web": ("incus-1", "d0e27664-6383-49f9-88af-872933178cb3"),
    }
    assert fleet.inventory.left_out[0] == "1 container left out, as they have the CPU of their host: dns"


def test_a_server_of_incus_without_a_cluster_is_named_by_the_inventory(tmp_path: Path) -> None:
    alone = written(tmp_path, {"estate.json": json.dumps([incus_instance("ci-1", "none", UUIDS[0])])})
    assert "name it as the one host under `hosts`" in refusal(alone)
    (tmp_path / "fleet.yaml").write_text(
        "estate: {file: estate.json}\nhosts:\n  box: {address: 'ssh://root@10.0.0.1'}\n"
    )
    fleet = load_fleet(tmp_path / "fleet.yaml")
    assert placed(fleet) == {"box": (None, None), "ci-1": ("box", UUIDS[0])}
    address = fleet.inventory.targets[0].address
    assert address is not None
    assert address.spec == "ssh://root@10.0.0.1"
    assert fleet.inventory.targets[0].libvirt is None


def test_compute_hosts_of_openstack(tmp_path: Path) -> None:
    fleet = example(tmp_path, "openstack")
    assert placed(fleet) == {
        "compute-1": (None, None),
        "ci-1": ("compute-1", UUIDS[0]),
        "compute-2": (None, None),
        "ci-2": ("compute-2", UUIDS[1]),
    }
    assert fleet.inventory.targets[0].libvirt == "qemu:///system"
    assert fleet.inventory.left_out[0] == "1 server left out, as it is on no host: web (SHELVED_OFFLOADED)"


def test_an_estate_alone_is_an_inventory_whose_guests_no_policy_names(tmp_path: Path) -> None:
    example(tmp_path, "kubevirt")
    fleet = load_fleet(tmp_path / "estate.json")
    assert len(fleet.inventory.targets) == 7
    assert {each.policy.binding for each in fleet.inventory if each.host} == {False}
    assert {each.policy.binding for each in fleet.inventory if not each.host} == {True}
    assert fleet.inventory.left_out[-1].startswith("5 guests only reported, as no pattern and no `undeclared` gives a")


def test_the_last_pattern_counts_and_a_guest_of_the_file_wins(tmp_path: Path) -> None:
    inventory = """\
estate: {file: estate.json}
policy: {nested: forbidden}
guests:
  '*': {nested: guarded}
  ci/*: {nested: required}
hosts:
  node-1:
    nested: required
    guests:
      ci/runner-2: {nested: forbidden, account: ci}
      extra: {}
  other: {}
"""
    fleet = example(tmp_path, "kubevirt", inventory=inventory)
    found = {each.name: each for each in fleet.inventory}
    assert next(iter(found)) == "node-1"
    assert (found["node-1"].policy.nested, found["node-2"].policy.nested) == (Nested.REQUIRED, Nested.FORBIDDEN)
    assert found["ci/runner-1"].policy.nested is Nested.REQUIRED
    assert found["web/shop"].policy.nested is Nested.GUARDED
    assert (found["ci/runner-2"].policy.nested, found["ci/runner-2"].account) == (Nested.FORBIDDEN, "ci")
    assert found["ci/runner-2"].domain == "ci_runner-2"
    assert (found["extra"].host, found["other"].libvirt) == ("node-1", "qemu:///system")
    assert found["node-1"].libvirt is None, "the host is still one of the estate"


@pytest.mark.parametrize(
    ("inventory", "reason"),
    [
        ("estate: {file: estate.json}\nguests: {cii/*: {nested: required}}\n", "'cii/*' matches no guest"),
        ("estate: {file: estate.json, address: 'ssh://host'}\n", "is the same for every host"),
        ("estate: {file: estate.json, address: 'telnet://{name}'}\n", "telnet:// is unknown"),
        ("estate: {file: estate.json, adress: 'ssh://{name}'}\n", "unknown key (did you mean `address`?)"),
        ("estate: {file: none.json}\n", "No such file"),
        ("estate: {file: estate.json}\nhosts: {node-2: {guests: {ci/runner-1: {}}}}\n", "the estate has it on node-1"),
        ("guests: {a: {}}\nhosts: {b: {}}\n", "guests: gives policies to the guests of an `estate`"),
        ("guests: {a: {}}\n", "hosts: is missing"),
    ],
)
def test_what_an_inventory_cannot_ask_of_an_estate(tmp_path: Path, inventory: str, reason: str) -> None:
    written(tmp_path, dict(FILES["kubevirt"]()))
    path = tmp_path / "inventory.yaml"
    path.write_text(inventory)
    assert reason in refusal(path)


def node(name: str = "n", ip: str = "192.0.2.1") -> dict[str, Any]:
    return kubevirt_node(name, SCHEDULABLE, ip=ip)


def cluster(*objects: Any) -> Callable[[Path], Path]:
    return lambda folder: written(folder, {"estate.json": kubevirt_list(*objects)})


def listed(value: object) -> Callable[[Path], Path]:
    return lambda folder: written(folder, {"estate.json": json.dumps(value)})


def folder_of(**files: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        written(folder, {f"nodes/{name.replace('__', '/')}": text for name, text in files.items()})
        return folder

    return make


RUNS, DOES_NOT_RUN = list(kubevirt_guest("a/b", "EPYC", "n")), list(kubevirt_guest("a/b", "EPYC"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (cluster(), "no Node with virt-handler"),
        (cluster(kubevirt_node("n", ip="192.0.2.1"), *DOES_NOT_RUN), "no Node with virt-handler"),
        (cluster(node("other"), *RUNS), "a/b runs on n, and no such Node is in it"),
        (cluster(node(), RUNS[0]), "a/b runs, and its VirtualMachineInstance is not in it"),
        (cluster(node(), *DOES_NOT_RUN, *DOES_NOT_RUN), "the VirtualMachine a/b is there twice"),
        (cluster(node(), node(), *RUNS), "the Node n is there twice"),
        (cluster(node("a@evil.example"), *RUNS[:0]), "is not a host name"),
        (cluster(node("a?sudo=true")), "is not a host name"),
        (cluster({**node(), "metadata": {"name": 5}}), "metadata.name is not text"),
        (cluster({**node(), "status": []}), "status is not a mapping"),
        (listed([]), "is not an estate that is known"),
        (listed([1]), "is not an estate that is known"),
        (listed([incus_instance("a", "h", UUIDS[0]), 3]), "[1] is not a mapping"),
        (listed([incus_instance("a\u202eb", "h", UUIDS[0])]), "it has no name"),
        (listed([incus_instance("h", "h", UUIDS[0])]), "h: duplicate name"),
        (listed([{"ID": "x", "Name": "a", "Status": "ACTIVE", "Host": "h"}]), "[0].ID is not a uuid"),
        (listed([{"ID": UUIDS[0], "Name": "a", "Status": "ACTIVE"}]), "it does not show its Host"),
        (listed([{"ID": UUIDS[0], "Name": "a", "Status": "ACTIVE", "Host": None}]), "without any host"),
        (lambda folder: written(folder, {"e.json": "[" * 100_000}), "is nested too deeply"),
        (lambda folder: written(folder, {"e.json": '[{"a": 1, "a": 2}]'}), "the key 'a' is given twice"),
        (lambda folder: written(folder, {"e.json": "{"}), "line 1: is not JSON"),
        (lambda folder: folder, "is a folder without `nodes`"),
        (folder_of(**{"p__qemu-server__1.conf": "cpu host"}), "1.conf: line 1: is not a line of a Proxmox VE conf"),
        (folder_of(**{"p__qemu-server__1.conf": "args: '\n"}), "1.conf: line 1: args: No closing quotation"),
    ],
)
def test_an_estate_that_cannot_be_audited_as_a_whole_is_one_error(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    assert reason in refusal(make(tmp_path))


def test_an_address_in_the_estate_cannot_add_anything_to_the_url(tmp_path: Path) -> None:
    written(tmp_path, {"estate.json": kubevirt_list(node(ip="192.0.2.1?sudo=true"))})
    path = tmp_path / "fleet.yaml"
    path.write_text("estate: {file: estate.json, address: 'ssh://root@{ip}'}\n")
    assert "n: '192.0.2.1?sudo=true' does not appear to be an IPv4 or IPv6 address" in refusal(path)
    written(tmp_path, {"estate.json": kubevirt_list(node(ip="2001:db8::1"))})
    address = load_fleet(path).inventory.targets[0].address
    assert address is not None
    assert address.host == "2001:db8::1"


def test_guests_of_one_name_are_told_apart_and_share_no_process(tmp_path: Path) -> None:
    conf = "name: twin\ncpu: host\n"
    files = {f"nodes/p/qemu-server/{number}.conf": conf for number in (100, 101)}
    written(tmp_path, {**files, "nodes/q/qemu-server/102.conf": conf})
    fleet = load_fleet(tmp_path)
    names = [each.name for each in fleet.inventory if each.host]
    assert len(set(names)) == 3
    shared = {each.process_name: each.shares_name for (host, _), each in fleet.definitions.items() if host == "p"}
    assert shared == {"twin": True}
    assert not fleet.definitions["q", "twin"].shares_name


def test_what_is_saved_with_its_memory_is_known(tmp_path: Path) -> None:
    conf = "cpu: host\nname: a\n[before]\ncpu: kvm64\nvmstate: local:vm-100-state\n"
    written(tmp_path, {"nodes/p/qemu-server/100.conf": conf})
    (only,) = load_fleet(tmp_path).definitions.values()
    assert [state.partition("100.conf:")[2] for state in only.unread_states] == [
        "5: the snapshot before was saved with its memory and without runningcpu, so that its CPU is not known"
    ]
    assert only.saved == ()


@pytest.mark.parametrize(
    ("section", "given"),
    [
        ("[before]\nrunningcpu: kvm64,enforce,+lahf_lm", {"svm": Answer.NO, "vmx": Answer.NO}),
        ("[before]\nrunningcpu: EPYC,enforce,+svm", {"svm": Answer.YES, "vmx": Answer.NO}),
        ("[before]\nrunningcpu: host,+kvm_pv_eoi", {"svm": Answer.UNKNOWN}),
        ("[before]\nrunningcpu: host,-svm", {"svm": Answer.NO, "vmx": Answer.UNKNOWN}),
        ("[before]\nrunningcpu: EPYC,+svm\nkvm: 0", {"svm": Answer.NO}),
        ("[before]\nrunningcpu: kvm64\nargs: -cpu EPYC,+svm", {"svm": Answer.YES}),
        ("lock: suspended\nrunningcpu: kvm64,enforce\nrunningmachine: pc-i440fx-9.0+pve0", {"svm": Answer.NO}),
    ],
)
def test_the_cpu_of_a_saved_guest_is_that_which_it_ran_with(
    tmp_path: Path, section: str, given: dict[str, Answer]
) -> None:
    conf = f"cpu: host\nname: a\n{section}\nvmstate: local:vm-100-state\n"
    written(tmp_path, {"nodes/p/qemu-server/100.conf": conf})
    (only,) = load_fleet(tmp_path).definitions.values()
    (state,) = only.saved
    assert only.unread_states == ()
    assert {vendor.flag: state.promise(vendor).gives_flag for vendor in Vendor if vendor.flag in given} == given
    assert state.snapshot == ("before" if section.startswith("[") else None)
    assert "100.conf:" in state.source


def test_a_link_in_a_copied_folder_is_not_followed_to_other_nodes(tmp_path: Path) -> None:
    written(tmp_path, {"nodes/p/qemu-server/100.conf": "cpu: host\n"})
    (tmp_path / "nodes" / "q").symlink_to(tmp_path / "nodes" / "p")
    fleet = load_fleet(tmp_path)
    assert list(placed(fleet)) == ["p", "100"]
    assert fleet.inventory.left_out[0] == "1 file left out, as it is not the conf of a guest: nodes/q"
