"""Reads the inventory of a run: its own YAML, an estate that it names, or an estate by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nested_kvm.errors import FileUnusable, InventoryError, NotObserved
from nested_kvm.fleet.defined_guest import DefinedGuest
from nested_kvm.fleet.estates.reading import JSON_LIMIT, DefinedEstate
from nested_kvm.inventory.estate import DEFAULT_ADDRESS, Estate, only_reported, refuse_duplicates, targets_of_estate
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.target import Inventory
from nested_kvm.model.policy import Policy
from nested_kvm.util.document import json_document
from nested_kvm.util.files import read_bounded

Definitions = Mapping[tuple[str, str], DefinedGuest]
"""By host and domain: the definition of each guest of an estate."""


@dataclass(frozen=True, slots=True)
class DeclaredFleet:
    """An inventory, the definitions of the guests of its estate, and where that was read."""

    inventory: Inventory
    definitions: Definitions = field(default_factory=dict)
    estate: Path | None = None

    @property
    def by_host(self) -> Mapping[str, Mapping[str, DefinedGuest]]:
        """The definitions by host, and there by domain."""
        found: dict[str, dict[str, DefinedGuest]] = {}
        for (host, domain), each in self.definitions.items():
            found.setdefault(host, {})[domain] = each
        return found


def load_fleet(path: Path) -> DeclaredFleet:
    """Read an inventory, or an estate in its place.

    Raises:
        InventoryError: it cannot be read or used; the message names file, line and key.
    """
    if is_estate(path):
        return _estate_alone(path)
    found: list[tuple[Path, DefinedEstate]] = []

    def read(place: Path, hosts: Sequence[str]) -> Estate:
        found.append((place, _read_estate(place, hosts)))
        return found[-1][1].estate

    inventory = load_inventory(path, read)
    if not found:
        return DeclaredFleet(inventory)
    place, estate = found[-1]
    return DeclaredFleet(inventory, estate.definitions, place)


def _read_estate(path: Path, hosts: Sequence[str] = ()) -> DefinedEstate:
    from nested_kvm.fleet.estates.recognize import read_estate  # noqa: PLC0415 - only an estate needs its readers

    return read_estate(path, hosts)


def _estate_alone(path: Path) -> DeclaredFleet:
    """An estate without an inventory: its guests are those that no inventory names."""
    found = _read_estate(path)
    try:
        targets = tuple(targets_of_estate(found.estate, DEFAULT_ADDRESS, Policy(), {}, {}))
        refuse_duplicates(targets)
    except InventoryError as error:
        raise InventoryError(f"{path}: {error}") from None
    return DeclaredFleet(
        Inventory(str(path), targets, (*found.estate.left_out, *only_reported(targets))), found.definitions
    )


def is_estate(path: Path) -> bool:
    """Whether a path is an estate by itself: a folder, or JSON that is not an inventory.

    Raises:
        InventoryError: it is called .json, and is not JSON.
    """
    if path.is_dir():
        return True
    try:
        text = read_bounded(path, JSON_LIMIT).decode("utf-8-sig")
        if text.lstrip()[:1] not in {"{", "["}:
            return False
        value = json_document(text).value
    except NotObserved as error:
        if path.suffix == ".json":
            raise InventoryError(f"{path}: {error}") from None
        return False
    except (FileUnusable, UnicodeDecodeError):
        return False  # The reader of inventories says what is wrong with it.
    return isinstance(value, list) or (isinstance(value, dict) and {"apiVersion", "kind"} <= value.keys())
