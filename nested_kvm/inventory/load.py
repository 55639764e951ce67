"""Reads an inventory file, and names file, line and key of every problem."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from nested_kvm.errors import InventoryError
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.estate import (
    GivenHost,
    ReadEstate,
    only_reported,
    refuse_duplicates,
    refuse_estates,
    targets_of_estate,
    with_declared,
)
from nested_kvm.inventory.schema import (
    NO_LIBVIRT,
    EstateSection,
    GuestSection,
    HostSection,
    InventoryFile,
    KubernetesSection,
    PolicySection,
)
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.yaml_file import YamlFile, read_yaml


def load_inventory(path: Path, read_estate: ReadEstate = refuse_estates) -> Inventory:
    """Read and validate an inventory; its estate, where it has one, is read by `read_estate`.

    Raises:
        InventoryError: it cannot be read or used; the message names file, line and key.
    """
    yaml = read_yaml(path, InventoryError)
    try:
        file = InventoryFile.model_validate(yaml.document)
    except ValidationError as error:
        raise InventoryError(yaml.explain(error, "nothing to audit", _known_keys)) from None
    declared = tuple(_targets(file))
    _refuse_duplicates(yaml, declared)
    if file.estate is not None:
        return _with_estate(yaml, file, file.estate, declared, read_estate)
    if not file.hosts:
        reason = "is empty: nothing to audit" if "hosts" in (yaml.document or {}) else "is missing"
        raise InventoryError(f"{path}:{yaml.line(['hosts'])}: hosts: {reason}")
    if file.guests:
        reason = "gives policies to the guests of an `estate`: other guests stand under their host"
        raise InventoryError(f"{path}:{yaml.line(['guests'])}: guests: {reason}")
    return Inventory(str(path), declared)


def _with_estate(
    yaml: YamlFile, file: InventoryFile, section: EstateSection, declared: Sequence[Target], read_estate: ReadEstate
) -> Inventory:
    """The targets of the estate, with those of the file in their place or beside them."""
    try:
        estate = read_estate(section.source(yaml.path.parent), tuple(file.hosts))
        policies = {name: partial(_overridden_by, each) for name, each in file.guests.items()}
        found = targets_of_estate(
            estate, section.address, _override(Policy(), file.policy), policies, dict(_given(file, declared))
        )
        targets = with_declared(tuple(found), declared)
        refuse_duplicates(targets)
    except InventoryError as error:
        raise InventoryError(f"{yaml.path}:{yaml.line(['estate'])}: estate: {error}") from None
    return Inventory(str(yaml.path), targets, left_out=(*estate.left_out, *only_reported(targets)))


def _overridden_by(section: PolicySection, policy: Policy) -> Policy:
    return _override(policy, section)


def _given(file: InventoryFile, declared: Sequence[Target]) -> Iterator[tuple[str, GivenHost]]:
    for target in declared:
        if target.host is None:
            section = file.hosts[target.name]
            yield target.name, GivenHost(target, section.address is not None, "libvirt" in section.model_fields_set)


def _known_keys(place: Sequence[int | str]) -> Iterable[str]:
    """Return the keys that the schema has at a place: `hosts.kvm-a.guests.ci-1`, say."""
    match tuple(place):
        case ():
            return InventoryFile.model_fields
        case ("policy",) | ("guests", _):
            return PolicySection.model_fields
        case ("estate", *inner):
            return (KubernetesSection if inner else EstateSection).model_fields
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
