"""Reads an Ansible inventory: Ansible lists the hosts, its variables define each host and guest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Self

from pydantic import TypeAdapter, ValidationError

from nested_kvm.errors import InventoryError, UsageError
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.ansible_host import Variables
from nested_kvm.inventory.ansible_program import ansible_inventory
from nested_kvm.inventory.schema import NO_LIBVIRT, Name
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.schema_error import explain

SCHEME: Final = "ansible://"
_OURS: Final = "nested_"
_START: Final = "nest"
_ALIKE: Final = 0.9
"""How much a name has to be like one of ours to be taken for a misspelled one (difflib): `nested_virt` is not."""
_VAULT: Final = "__ansible_vault"
_UNSAFE: Final = "__ansible_unsafe"
_NAME: Final = TypeAdapter[str](Name)


def load_ansible_inventory(path: Path, hosts: Sequence[str]) -> tuple[Inventory, Inventory]:
    """Read an Ansible inventory; return all of it, and what `--hosts=ansible://PATTERN` selects.

    Raises:
        UsageError: ansible-core is not installed, or `--hosts` is not an Ansible pattern.
        InventoryError: it cannot be read or used, or a pattern matches nothing; the message names host and variable.
    """
    patterns = [_pattern(spec) for spec in hosts]
    whole = inventory_of_ansible(path, ansible_inventory(path))
    if not patterns:
        return whole, whole
    chosen = _hosts(ansible_inventory(path, ",".join(patterns)))
    if not chosen:
        raise InventoryError(f"{path}: --hosts={','.join(hosts)} matches no host: nothing to audit")
    return whole, whole.only(set(chosen))


def inventory_of_ansible(path: Path, document: Mapping[str, Any]) -> Inventory:
    """Make an inventory of the output of `ansible-inventory --list`.

    Raises:
        InventoryError: it cannot be used; the message names host and variable.
    """
    return Inventory(str(path), tuple(_in_order(_targets(path, _entries(path, document)))))


def _pattern(spec: str) -> str:
    """Return Ansible's pattern. pytest splits `ansible://a,b` at commas, so that `b` comes without the scheme."""
    pattern = spec.removeprefix(SCHEME)
    if "://" in pattern or not pattern or "?" in pattern.partition("[")[0]:
        raise UsageError(f"--hosts: {spec!r}: with --ansible-inventory it takes {SCHEME} and an Ansible pattern")
    return pattern


@dataclass(frozen=True, slots=True)
class _Entry:
    """One host with its parsed variables."""

    name: str
    variables: Variables
    address: Address
    jump: str | None

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any]) -> Self:
        """Parse a host's variables.

        Raises:
            ValueError: one is invalid; the message names the variable.
        """
        _refuse_misspelled(given)
        wanted = {key: _plain(key, given[key]) for key in Variables.names() & given.keys()}
        variables = Variables.model_validate(wanted)
        try:
            address = Address.parse(variables.address(name))
        except InventoryError as error:
            raise ValueError(str(error)) from None
        return cls(name, variables, address, variables.jump())

    def is_called(self, destination: str) -> bool:
        """Whether the jump host `destination` is this host."""
        host = destination.removeprefix("ssh://").rpartition("@")[2]
        return host.partition(":")[0] in {self.name, self.address.host}


def _refuse_misspelled(given: Mapping[str, Any]) -> None:
    """Refuse a variable that looks like one of ours: ignored, `nested_polcy: forbidden` would require nesting.

    Raises:
        ValueError: there is one; the message names both.
    """
    ours = [each for each in Variables.names() if each.startswith(_OURS)]
    for name in given:
        near = get_close_matches(name, ours, n=1, cutoff=_ALIKE) if name.startswith(_START) else []
        if near and name not in ours:
            raise ValueError(f"{name}: unknown variable (did you mean `{near[0]}`?)")


def _entries(path: Path, document: Mapping[str, Any]) -> dict[str, _Entry]:
    names = _hosts(document)
    if not names:
        raise InventoryError(f"{path}: it has no hosts: nothing to audit")
    variables = _mapping(_mapping(document.get("_meta")).get("hostvars"))
    entries: dict[str, _Entry] = {}
    problems: list[str] = []
    for name in names:
        try:
            _NAME.validate_python(name)
            entries[name] = _Entry.of(name, _mapping(variables.get(name)))
        except ValidationError as error:
            problems += [f"{path}: {name}: {line}" for line in explain(error)]
        except ValueError as error:
            problems.append(f"{path}: {name}: {error}")
    if problems:
        raise InventoryError("\n".join(problems))
    return entries


def _hosts(document: Mapping[str, Any]) -> list[str]:
    """Return the hosts of all groups, each once, in the inventory's order."""
    groups = (_mapping(group).get("hosts") for name, group in document.items() if name != "_meta")
    found = (name for group in groups if isinstance(group, list) for name in group)
    return list(dict.fromkeys(name for name in found if isinstance(name, str)))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _plain(variable: str, value: Any) -> Any:
    """Return a variable's value.

    Raises:
        ValueError: it is a template, or encrypted.
    """
    if isinstance(value, dict):
        if _VAULT in value:
            raise ValueError(f"{variable}: is encrypted by Ansible Vault: write it in plain text, it is not a secret")
        if _UNSAFE in value:
            return value[_UNSAFE]
        return {key: _plain(variable, each) for key, each in value.items()}
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        raise ValueError(f"{variable}: {value!r} is a template, which only Ansible can expand: write its value")
    return value


def _targets(path: Path, entries: Mapping[str, _Entry]) -> list[Target]:
    targets: list[Target] = []
    problems: list[str] = []
    for entry in entries.values():
        try:
            targets.append(_target(entry, entries))
        except ValueError as error:
            problems.append(f"{path}: {entry.name}: {error}")
    if problems:
        raise InventoryError("\n".join(problems))
    return targets


def _target(entry: _Entry, entries: Mapping[str, _Entry]) -> Target:
    section = entry.variables.nested_policy
    default = Policy()
    policy = Policy(
        section.nested or default.nested,
        section.persistence or default.persistence,
        section.undeclared or default.undeclared,
    )
    host = entry.variables.nested_host
    if host is not None:
        return _guest(entry, policy, host, entries)
    if entry.jump is not None:
        raise ValueError(
            f"ansible_ssh_common_args: jumps through {entry.jump}: configure that in an ssh_config (--ssh-config)"
        )
    if entry.variables.nested_domain is not None:
        raise ValueError("nested_domain: a domain needs a nested_host to run on")
    level = entry.variables.nested_level or TargetLevel.AUTO
    uri = entry.variables.nested_libvirt
    libvirt = None if uri == NO_LIBVIRT or level is TargetLevel.L1 else uri
    return Target(entry.name, level, entry.address, policy, libvirt=libvirt)


def _guest(entry: _Entry, policy: Policy, host: str, entries: Mapping[str, _Entry]) -> Target:
    if entry.variables.nested_level is TargetLevel.L0:
        raise ValueError("nested_level: a host with a nested_host is a guest, not an L0")
    if host not in entries:
        raise ValueError(f"nested_host: {host!r} is not a host of this inventory")
    if entries[host].variables.nested_host is not None or entries[host].variables.nested_level is TargetLevel.L1:
        raise ValueError(f"nested_host: {host!r} is itself a guest")
    if entry.jump is not None and not entries[host].is_called(entry.jump):
        raise ValueError(
            f"ansible_ssh_common_args: jumps through {entry.jump}, which is not its nested_host {host}: "
            "configure that in an ssh_config (--ssh-config)"
        )
    return Target(
        entry.name,
        TargetLevel.L1,
        entry.address,
        policy,
        host=host,
        domain=entry.variables.domain(entry.name),
        via_host=entry.jump is not None,
    )


def _in_order(targets: Sequence[Target]) -> Iterator[Target]:
    """Sort targets so that each host stands before its guests."""
    guests: dict[str | None, list[Target]] = {}
    for target in targets:
        guests.setdefault(target.host, []).append(target)
    for host in guests.get(None, []):
        yield from (host, *guests.get(host.name, []))
