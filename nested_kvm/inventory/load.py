"""Reads an inventory file, and names file, line and key of every problem."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from nested_kvm.errors import InventoryError
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.schema import (
    NO_LIBVIRT,
    GuestSection,
    HostSection,
    InventoryFile,
    PolicySection,
)
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.yaml_file import YamlFile, read_yaml


def load_inventory(path: Path) -> Inventory:
    """Read and validate an inventory.

    Raises:
        InventoryError: it cannot be read or used; the message names file, line and key.
    """
    yaml = read_yaml(path, InventoryError)
    try:
        file = InventoryFile.model_validate(yaml.document)
    except ValidationError as error:
        raise InventoryError(yaml.explain(error, "nothing to audit", _known_keys)) from None
    targets = tuple(_targets(file))
    _refuse_duplicates(yaml, targets)
    return Inventory(str(path), targets)


def _known_keys(place: Sequence[int | str]) -> Iterable[str]:
    """Return the keys that the schema has at a place: `hosts.kvm-a.guests.ci-1`, say."""
    match tuple(place):
        case ():
            return InventoryFile.model_fields
        case ("policy",):
            return PolicySection.model_fields
        case ("hosts", _):
            return HostSection.model_fields
        case ("hosts", _, "guests", _):
            return GuestSection.model_fields
        case _:
            return ()


def _targets(file: InventoryFile) -> Iterator[Target]:
    fleet = _override(Policy(), file.policy)
    for name, host in file.hosts.items():
        policy = _override(fleet, host)
        yield _host(name, host, policy)
        for guest_name, guest in host.guests.items():
            yield _guest(guest_name, guest, name, _override(policy, guest))


def _host(name: str, section: HostSection, policy: Policy) -> Target:
    libvirt = None if section.libvirt == NO_LIBVIRT or section.level is TargetLevel.L1 else section.libvirt
    address = Address.parse(section.address or name)
    return Target(name, section.level, address, policy, libvirt=libvirt, account=section.account, group=section.group)


def _guest(name: str, section: GuestSection, host: str, policy: Policy) -> Target:
    return Target(
        name,
        TargetLevel.L1,
        Address.parse(section.address) if section.address else None,
        policy,
        host=host,
        domain=section.domain or name,
        via_host=section.via is not None,
        account=section.account,
    )


def _override(policy: Policy, section: PolicySection) -> Policy:
    return Policy(
        section.nested or policy.nested,
        section.persistence or policy.persistence,
        section.undeclared or policy.undeclared,
    )


def _refuse_duplicates(yaml: YamlFile, targets: Sequence[Target]) -> None:
    seen: set[str] = set()
    for target in targets:
        if target.name in seen:
            location = ["hosts", target.host, "guests", target.name] if target.host else ["hosts", target.name]
            line = yaml.line([str(part) for part in location])
            raise InventoryError(f"{yaml.path}:{line}: {target.name}: duplicate name: target names must be unique")
        seen.add(target.name)
