"""What Ansible's variables say of a host, each through a real ansible-inventory."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.errors import InventoryError
from nested_kvm.inventory.ansible import load_ansible_inventory
from nested_kvm.inventory.target import Inventory, TargetLevel

pytestmark = [pytest.mark.needs("ansible-inventory"), pytest.mark.slow]

ADDRESSES: dict[str, tuple[Mapping[str, Any], str]] = {
    "name-alone": ({}, "ssh://name-alone"),
    "ipv6": ({"ansible_host": "fe80::1", "ansible_port": 2222}, "ssh://[fe80::1]:2222"),
    "port-as-text": ({"ansible_port": "22"}, "ssh://port-as-text:22"),
    "key": ({"ansible_ssh_private_key_file": "~/a key"}, "ssh://key?ssh_identity_file=~%2Fa+key"),
    "become": ({"ansible_become": True}, "ssh://become?sudo=true"),
    "become-another": (
        {"ansible_become": "yes", "ansible_become_user": "audit", "ansible_user": "me"},
        "ssh://me@become-another?sudo=true&sudo_user=audit",
    ),
    "root-already": ({"ansible_become": True, "ansible_user": "root"}, "ssh://root@root-already"),
    "this-machine": ({"ansible_connection": "local", "ansible_host": "127.0.0.1"}, "local://"),
    "paramiko": ({"ansible_connection": "ansible.netcommon.paramiko_ssh"}, "ssh://paramiko"),
    "docker": (
        {"ansible_connection": "community.docker.docker", "ansible_host": "web", "ansible_user": "root"},
        "docker://root@web",
    ),
    "podman": ({"ansible_connection": "containers.podman.podman"}, "podman://podman"),
    "pod": (
        {"ansible_connection": "kubectl", "ansible_kubectl_pod": "p-1", "ansible_kubectl_namespace": "ns"},
        "kubectl://p-1?namespace=ns",
    ),
    "unsafe-text": ({"ansible_host": {"__ansible_unsafe": "192.0.2.3"}}, "ssh://192.0.2.3"),
}

PROBLEMS: dict[str, tuple[Mapping[str, Any], str]] = {
    "level": ({"nested_level": "L2"}, "nested_level: Input should be 'auto', 'L0' or 'L1'"),
    "policy": (
        {"nested_policy": "forbiden"},
        "nested: Input should be 'required', 'forbidden' or 'guarded'",
    ),
    "misspelled": (
        {"nested_polcy": "forbidden", "nested_virtualization": True, "nest_eggs": 2},
        "nested_polcy: unknown variable (did you mean `nested_policy`?)",
    ),
    "policy-key": ({"nested_policy": {"nest": "required"}}, "nested_policy.nest: Extra inputs are not permitted"),
    "template": (
        {"ansible_host": "{{ inventory_hostname }}.example.net"},
        "is a template, which only Ansible can expand",
    ),
    "nested-template": ({"nested_policy": {"nested": "{% if x %}"}}, "nested_policy: '{% if x %}' is a template"),
    "vault": ({"ansible_user": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n31"}}, "ansible_user: is encrypted"),
    "port": ({"ansible_port": 99999}, "the port must be a number up to 65535"),
    "port-word": ({"ansible_port": "ssh"}, "ansible_port: Input should be a valid integer"),
    "winrm": ({"ansible_connection": "winrm"}, "ansible_connection: 'winrm' is not a supported connection plugin"),
    "su": ({"ansible_become": True, "ansible_become_method": "su"}, "ansible_become_method: 'su' is not sudo"),
    "option": ({"ansible_host": "-oProxyCommand=reboot"}, "is not a valid host name"),
    "another-host": ({"ansible_host": "kvm-a@evil"}, "is not a valid host name"),
    "arguments": (
        {"ansible_ssh_common_args": "-o Port=2222"},
        "ansible_ssh_common_args: 'Port=2222' is not supported",
    ),
    "flag": ({"ansible_ssh_extra_args": "-F /etc/evil"}, "ansible_ssh_extra_args: '-F' is not supported"),
    "quote": ({"ansible_ssh_common_args": "-o 'Port=1"}, "ansible_ssh_common_args: No closing quotation"),
    "command": (
        {"ansible_ssh_common_args": "-o ProxyCommand='nc %h %p'"},
        "ansible_ssh_common_args: 'ProxyCommand=nc %h %p' is not supported: configure it in an ssh_config",
    ),
    "a\x1b[31m": ({}, "no control characters"),
}

PLACES: dict[str, tuple[Mapping[str, Any], str]] = {
    "unknown-host": ({"nested_host": "kvm-z"}, "nested_host: 'kvm-z' is not a host of this inventory"),
    "guest-of-guest": ({"nested_host": "guest"}, "nested_host: 'guest' is itself a guest"),
    "both": ({"nested_host": "host", "nested_level": "L0"}, "nested_level: a host with a nested_host is a guest"),
    "no-host": ({"nested_domain": "x"}, "nested_domain: a domain needs a nested_host"),
    "bastion": ({"ansible_ssh_common_args": "-J bastion"}, "jumps through bastion: configure that in an ssh_config"),
    "other-way": (
        {"nested_host": "host", "ansible_ssh_common_args": "-J bastion"},
        "jumps through bastion, which is not its nested_host host",
    ),
}


def load(path: Path) -> Inventory:
    return load_ansible_inventory(path, [])[1]


def write(path: Path, hosts: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write an inventory that is a program: it can say what no file can."""
    document = {"all": {"hosts": list(hosts)}, "_meta": {"hostvars": hosts}}
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(document)}\nEND\n")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    path = tmp_path_factory.mktemp("addresses") / "hosts"
    return load(write(path, {name: variables for name, (variables, _) in ADDRESSES.items()}))


@pytest.mark.parametrize("name", ADDRESSES)
def test_each_way_of_ansible_becomes_one_of_ours(many: Inventory, name: str) -> None:
    target = many.named(name)
    assert target is not None
    assert str(target.address) == ADDRESSES[name][1]


def test_the_guest_agent_is_ansibles_libvirt_connection(tmp_path: Path) -> None:
    guest = {"ansible_connection": "community.libvirt.libvirt_qemu", "ansible_host": "dom-1", "nested_host": "host"}
    target = load(write(tmp_path / "hosts", {"host": {}, "guest": guest})).named("guest")
    assert target is not None
    assert (str(target.address), target.domain, target.level) == ("agent", "dom-1", TargetLevel.L1)


@pytest.mark.parametrize("variable", ["nested_virt", "nested_host_ip", "nested_vm_host", "nested_domain_id"])
def test_a_variable_of_someone_elses_is_no_misspelled_one(tmp_path: Path, variable: str) -> None:
    assert load(write(tmp_path / "hosts", {"host": {variable: "yes"}})).named("host") is not None


@pytest.mark.parametrize("variable", ["nested_hsot", "nested_leve", "nested-policy", "nested_libvrit", "nested_domian"])
def test_a_slip_of_one_letter_is_one(tmp_path: Path, variable: str) -> None:
    with pytest.raises(InventoryError, match=f"{variable}: unknown variable"):
        load(write(tmp_path / "hosts", {"host": {variable: "yes"}}))


@pytest.mark.parametrize("cases", [PROBLEMS, PLACES], ids=["variables", "places"])
def test_every_mistake_is_told_with_its_host_and_variable(
    tmp_path: Path, cases: Mapping[str, tuple[Mapping[str, Any], str]]
) -> None:
    sound = {"host": {}, "guest": {"nested_host": "host"}}
    path = write(tmp_path / "hosts", sound | {name: variables for name, (variables, _) in cases.items()})
    with pytest.raises(InventoryError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert [name for name in sound if any(line.startswith(f"{path}: {name}: ") for line in lines)] == []
    for name, (_, part) in cases.items():
        assert [line for line in lines if line.startswith(f"{path}: {name}: ") and part in line], (name, lines)
    assert len(lines) == len(cases)
