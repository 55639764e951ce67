"""An inventory made of `--hosts` alone: what it refuses, and the next step that it names."""

import pytest

from nested_kvm.errors import UsageError
from nested_kvm.inventory.ad_hoc import ad_hoc_inventory, libvirt_of_option
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.policy import Policy


def test_a_pattern_needs_an_inventory() -> None:
    with pytest.raises(UsageError, match=r"^--hosts: 'kvm-\*' is a pattern; patterns need --inventory=FILE$"):
        ad_hoc_inventory(["ssh://kvm-a", "kvm-*"], TargetLevel.AUTO, Policy())


def test_another_mistake_is_quoted() -> None:
    with pytest.raises(UsageError, match=r"^--hosts: 'kvm a' is not an address: 'kvm a' is not a valid host name$"):
        ad_hoc_inventory(["kvm a"], TargetLevel.AUTO, Policy())


@pytest.mark.parametrize(
    ("given", "uri"), [(None, "qemu:///system"), ("none", None), ("qemu:///session", "qemu:///session")]
)
def test_libvirt_is_the_systems_another_or_none(given: str | None, uri: str | None) -> None:
    inventory = ad_hoc_inventory(["local://"], TargetLevel.AUTO, Policy(), libvirt=libvirt_of_option(given))
    assert [target.libvirt for target in inventory] == [uri]
