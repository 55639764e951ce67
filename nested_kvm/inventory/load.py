"""Reads an inventory file, and says where it is wrong: file, line and key."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase
from ruamel.yaml.error import MarkedYAMLError, YAMLError

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
from nested_kvm.policy import Policy

SIZE_LIMIT = 16 * 1024 * 1024
"""Bytes: ten thousand hosts take about one."""

_COMMENTS = (NotImplementedError, AssertionError, AttributeError, IndexError, TypeError)
"""What ruamel.yaml raises beside its own errors, where it finds a comment that it has no place for."""


def load_inventory(path: Path) -> Inventory:
    """Read and validate an inventory.

    Raises:
        InventoryError: it cannot be read or used; the message names file, line and key.
    """
    document = _parse(path)
    try:
        file = InventoryFile.model_validate(document)
    except ValidationError as error:
        raise InventoryError(_explain(path, document, error)) from None
    targets = tuple(_targets(file))
    _refuse_duplicates(path, document, targets)
    return Inventory(str(path), targets)


def _parse(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise InventoryError(f"{path}: {error.strerror}") from None
    if len(data) > SIZE_LIMIT:
        raise InventoryError(f"{path}: is larger than {SIZE_LIMIT // 1024 // 1024} MiB: no inventory is")
    try:
        return YAML(typ="rt").load(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InventoryError(f"{path}:{line}: is not UTF-8 text") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise InventoryError(f"{place}: {error.problem or error.context}") from None
    except RecursionError:
        raise InventoryError(f"{path}: is nested too deeply") from None
    except (YAMLError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InventoryError(f"{path}: {reason}") from None
    except _COMMENTS:
        raise InventoryError(f"{path}: is no YAML, or has a comment in a place where it cannot be kept") from None


def _explain(path: Path, document: Any, error: ValidationError) -> str:
    return "\n".join(
        f"{path}:{_line(document, place)}: {_key(place)}: {_reason(kind, message)}"
        for place, kind, message in (
            (problem["loc"], problem["type"], problem["msg"])
            for problem in error.errors(include_url=False, include_input=False)
        )
    )


def _key(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location if part != "[key]") or "the file"


def _reason(kind: str, message: str) -> str:
    known = {
        "extra_forbidden": "unknown key",
        "missing": "is missing",
        "too_short": "is empty: nothing to audit",
        "dict_type": "must be a mapping (`name: value` lines)",
        "model_type": "must be a mapping (`name: value` lines)",
        "string_type": "must be text",
    }
    return known.get(kind, message.removeprefix("Value error, "))


def _line(document: Any, location: Sequence[int | str]) -> int:
    """The line of the deepest part of `location` that the document has; lines start at 1."""
    line, node = 1, document
    for part in location:
        if not isinstance(node, CommentedBase) or not hasattr(node, "__getitem__"):
            break
        position = node.lc.data or {}
        if part in position:
            line = position[part][0] + 1
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
    return line


def _targets(file: InventoryFile) -> Iterator[Target]:
    fleet = _override(Policy(), file.policy)
    for name, host in file.hosts.items():
        policy = _override(fleet, host)
        yield _host(name, host, policy)
        for guest_name, guest in host.guests.items():
            yield _guest(guest_name, guest, name, _override(policy, guest))


def _host(name: str, section: HostSection, policy: Policy) -> Target:
    libvirt = None if section.libvirt == NO_LIBVIRT or section.level is TargetLevel.L1 else section.libvirt
    return Target(name, section.level, Address.parse(section.address or name), policy, libvirt=libvirt)


def _guest(name: str, section: GuestSection, host: str, policy: Policy) -> Target:
    return Target(
        name,
        TargetLevel.L1,
        Address.parse(section.address) if section.address else None,
        policy,
        host=host,
        domain=section.domain or name,
        via_host=section.via is not None,
    )


def _override(policy: Policy, section: PolicySection) -> Policy:
    return Policy(
        section.nested or policy.nested,
        section.persistence or policy.persistence,
        section.undeclared or policy.undeclared,
    )


def _refuse_duplicates(path: Path, document: Any, targets: Sequence[Target]) -> None:
    seen: set[str] = set()
    for target in targets:
        if target.name in seen:
            location = ["hosts", target.host, "guests", target.name] if target.host else ["hosts", target.name]
            line = _line(document, [str(part) for part in location])
            raise InventoryError(f"{path}:{line}: {target.name}: duplicate name: every target needs one of its own")
        seen.add(target.name)
