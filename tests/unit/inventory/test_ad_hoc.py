"""An inventory made of `--hosts` alone: what it refuses, and the next step that it names."""

import pytest

from nested_kvm.errors import UsageError
from nested_kvm.inventory.ad_hoc import ad_hoc_inventory
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.policy import Policy


def test_a_pattern_needs_an_inventory() -> None:
    with pytest.raises(UsageError, match=r"^--hosts: 'kvm-\*' is a pattern; patterns need --inventory=FILE$"):
        ad_hoc_inventory(["ssh://kvm-a", "kvm-*"], TargetLevel.AUTO, Policy())


def test_another_mistake_is_quoted() -> None:
    with pytest.raises(UsageError, match=r"^--hosts: 'kvm a' is not an address: 'kvm a' is not a valid host name$"):
        ad_hoc_inventory(["kvm a"], TargetLevel.AUTO, Policy())
