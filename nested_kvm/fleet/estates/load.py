"""Reads the inventory of a run: its own YAML, an estate that it names, or an estate by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nested_kvm.errors import FileUnusable, InventoryError, NotObserved
from nested_kvm.fleet.defined_guest import DefinedGuest
from nested_kvm.fleet.estates.reading import JSON_LIMIT, DefinedEstate
from nested_kvm.inventory.estate import (
    DEFAULT_ADDRESS,
    Estate,
    EstateSource,
    KubernetesCluster,
    only_reported,
    refuse_duplicates,
    targets_of_estate,
)
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.target import Inventory
from nested_kvm.model.policy import Policy
from nested_kvm.util.document import json_document
from nested_kvm.util.files import read_bounded

Definitions = Mapping[tuple[str, str], DefinedGuest]
"""By host and domain: the definition of each guest of an estate."""


@dataclass(frozen=True, slots=True)
class ReadCluster:
    """What was read of a live cluster, now or by the run that is evaluated again."""

    source: str
    """What it was read from."""
    text: str
    """Its objects, as the run keeps them in `ESTATE_FILE`."""
    recorded: Path | None
    """The file of the earlier run; None: it was read now."""


@dataclass(frozen=True, slots=True)
class DeclaredFleet:
    """An inventory, the definitions of the guests of its estate, and where that was read."""

    inventory: Inventory
    definitions: Definitions = field(default_factory=dict)
    estate: Path | None = None
    """The file or folder; None: there is none, or it was read live."""
    cluster: ReadCluster | None = None

    @property
    def by_host(self) -> Mapping[str, Mapping[str, DefinedGuest]]:
        """The definitions by host, and there by domain."""
        found: dict[str, dict[str, DefinedGuest]] = {}
        for (host, domain), each in self.definitions.items():
            found.setdefault(host, {})[domain] = each
        return found


@dataclass(frozen=True, slots=True)
class _Found:
    estate: DefinedEstate
    place: Path | None
    cluster: ReadCluster | None = None


def load_fleet(path: Path, recorded: Path | None = None) -> DeclaredFleet:
    """Read an inventory, or an estate in its place.

    Args:
        path: the inventory, or the estate.
        recorded: what an earlier run read of its cluster, in place of reading it again; None: clusters are read.

    Raises:
        InventoryError: it cannot be read or used; the message names file, line and key.
    """
    if is_estate(path):
        return _estate_alone(path)
    found: list[_Found] = []

    def read(source: EstateSource, hosts: Sequence[str]) -> Estate:
        if isinstance(source, KubernetesCluster):
            found.append(_read_cluster(source, recorded))
        else:
            found.append(_Found(_read_estate(source, hosts), source))
        return found[-1].estate.estate

    inventory = load_inventory(path, read)
    if not found:
        return DeclaredFleet(inventory)
    last = found[-1]
    return DeclaredFleet(inventory, last.estate.definitions, last.place, last.cluster)


def _read_estate(path: Path, hosts: Sequence[str] = ()) -> DefinedEstate:
    from nested_kvm.fleet.estates.recognize import read_estate  # noqa: PLC0415 - only an estate needs its readers

    return read_estate(path, hosts)


def _read_cluster(source: KubernetesCluster, recorded: Path | None) -> _Found:
    from nested_kvm.fleet.estates import live_kubevirt  # noqa: PLC0415 - only an estate needs its readers

    if recorded is not None:
        estate, text = live_kubevirt.recorded_estate(source, recorded)
    else:
        estate, text = live_kubevirt.live_estate(source)
    return _Found(estate, None, ReadCluster(str(source), text, recorded))


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
