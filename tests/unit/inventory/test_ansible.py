"""Ansible's own inventory, read by a real ansible-inventory."""

from pathlib import Path

import pytest

from nested_kvm.errors import InventoryError, UsageError
from nested_kvm.inventory import ansible_program
from nested_kvm.inventory.ansible import load_ansible_inventory
from nested_kvm.inventory.target import Inventory
from nested_kvm.model.policy import Nested, Persistence, Policy, Undeclared

pytestmark = [pytest.mark.needs("ansible-inventory"), pytest.mark.slow]

JUMP = "-o ControlMaster=auto -o StrictHostKeyChecking=no "
FLEET = f"""
[kvm]
kvm-a ansible_host=192.0.2.1 ansible_user=root nested_level=L0 nested_policy="{{'undeclared': 'forbidden'}}"
kvm-b ansible_ssh_host=192.0.2.2 ansible_host=192.0.2.9 ansible_port=2222 nested_libvirt=none

[guests]
ci-1 nested_host=kvm-a nested_domain=ci ansible_ssh_common_args='{JUMP}-J root@192.0.2.1'
ci-2 nested_host=kvm-a ansible_ssh_common_args='-o ProxyCommand="ssh -q -W %h:%p root@kvm-a"' nested_policy=forbidden
ci-3 nested_host=kvm-b ansible_ssh_extra_args='-o ServerAliveInterval=5'

[guests:vars]
ansible_user=audit
ansible_become=yes

[odd]
plain-host
db[1:2].example.net

[production:children]
kvm
guests
"""


def load(path: Path, *hosts: str) -> Inventory:
    return load_ansible_inventory(path, hosts)[1]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ansible") / "fleet.ini"
    path.write_text(FLEET)
    return path


@pytest.fixture(scope="module")
def inventory(fleet: Path) -> Inventory:
    return load(fleet)


def test_its_variables_place_each_host_in_the_chain(inventory: Inventory) -> None:
    assert [(each.name, each.level, each.host, each.domain, each.libvirt) for each in inventory] == [
        ("kvm-a", "L0", None, None, "qemu:///system"),
        ("ci-1", "L1", "kvm-a", "ci", None),
        ("ci-2", "L1", "kvm-a", "ci-2", None),
        ("kvm-b", "auto", None, None, None),
        ("ci-3", "L1", "kvm-b", "ci-3", None),
        ("plain-host", "auto", None, None, "qemu:///system"),
        ("db1.example.net", "auto", None, None, "qemu:///system"),
        ("db2.example.net", "auto", None, None, "qemu:///system"),
    ]


def test_a_jump_over_its_own_host_is_the_way_through_that_hosts_connection(inventory: Inventory) -> None:
    assert {each.name: each.via_host for each in inventory if each.host} == {"ci-1": True, "ci-2": True, "ci-3": False}


def test_the_policy_is_a_word_or_a_mapping(inventory: Inventory) -> None:
    policies = {each.name: each.policy for each in inventory}
    assert policies["kvm-a"] == Policy(undeclared=Undeclared.FORBIDDEN)
    assert policies["ci-2"] == Policy(Nested.FORBIDDEN, Persistence.EFFECTIVE, Undeclared.ANY)
    assert policies["ci-1"] == policies["plain-host"] == Policy()


def test_the_address_is_the_one_that_ansible_would_use(inventory: Inventory) -> None:
    addresses = {each.name: str(each.address) for each in inventory}
    assert addresses["kvm-b"] == "ssh://192.0.2.2:2222"
    assert addresses["ci-3"] == "ssh://audit@ci-3?sudo=true"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (["ansible://kvm"], {"kvm-a", "kvm-b", "ci-1", "ci-2", "ci-3"}),
        (["ansible://ci-1"], {"ci-1"}),
        (["ansible://db*"], {"db1.example.net", "db2.example.net"}),
        (["ansible://production:&guests:!ci-1"], {"ci-2", "ci-3"}),
        (["ansible://ci-1", "ci-2"], {"ci-1", "ci-2"}),
    ],
)
def test_patterns_are_ansibles(fleet: Path, pattern: list[str], names: set[str]) -> None:
    assert {each.name for each in load(fleet, *pattern)} == names


def test_a_guest_that_was_not_chosen_is_judged_from_its_host_alone(fleet: Path) -> None:
    chosen = {each.name: each.address is not None for each in load(fleet, "ansible://kvm:ci-1")}
    assert chosen == {"kvm-a": True, "ci-1": True, "ci-2": False, "kvm-b": True, "ci-3": False}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (["ansible://kvm", "ansible://nothing"], "--hosts matches nothing: nothing"),
        (["ansible://kvm:!typo"], "--hosts matches nothing: typo"),
        (["ansible://kvm:!kvm"], "--hosts=ansible://kvm:!kvm matches no host: nothing to audit"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(fleet: Path, pattern: list[str], message: str) -> None:
    with pytest.raises(InventoryError) as caught:
        load(fleet, *pattern)
    assert str(caught.value) == f"{fleet}: {message}"


@pytest.mark.parametrize("spec", ["ssh://kvm-a", "ansible://", "ansible://kvm?force_ansible=true"])
def test_what_is_no_pattern_is_refused(fleet: Path, spec: str) -> None:
    with pytest.raises(UsageError, match="with --ansible-inventory it takes ansible:// and an Ansible pattern"):
        load(fleet, spec)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 1", "returned non-zero exit code 1"),
        ("echo '{}'", "it has no hosts: nothing to audit"),
        ("echo '['", "Completely failed to parse inventory source"),
        ('echo \'{"all": {"hosts": ["a"]}, "_meta": {"hostvars": {"a": [1]}}}\'', ""),
    ],
)
def test_an_inventory_that_is_none_is_an_error_that_names_it(tmp_path: Path, script: str, message: str) -> None:
    path = tmp_path / "hosts"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    with pytest.raises(InventoryError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_an_inventory_that_hangs_is_given_up_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ansible_program, "SECONDS", 3)
    path = tmp_path / "hosts"
    path.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 1000\n")
    path.chmod(0o755)
    with pytest.raises(InventoryError, match="was killed; its time limit is 3 s"):
        load(path)
    process = Path("/proc") / (tmp_path / "pid").read_text().strip()
    assert not process.exists() or "(sleep) Z" in (process / "stat").read_text()


def test_an_inventory_that_floods_is_given_up(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ansible_program, "SIZE_LIMIT", 100)
    with pytest.raises(InventoryError, match="wrote more than 0 MiB"):
        load(fleet)


def test_without_ansible_the_message_says_what_to_install(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ansible_program, "PROGRAM", "ansible-inventory-of-nobody")
    with pytest.raises(UsageError, match="which was not found: install ansible-core"):
        load(fleet)
