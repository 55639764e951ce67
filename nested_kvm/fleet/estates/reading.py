"""What the readers of all estates have in common: the estate with the definitions of its guests, and its files."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from nested_kvm.errors import FileUnusable, InventoryError
from nested_kvm.fleet.defined_guest import DefinedGuest
from nested_kvm.inventory.estate import Estate, EstateGuest, EstateHost
from nested_kvm.util.files import read_bounded
from nested_kvm.util.text import first_of, plural, printable

JSON_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a JSON file, which may list a whole cluster."""
CONF_LIMIT: Final = 1024 * 1024
"""Bytes of one file of a folder."""
FILE_LIMIT: Final = 10_000
_SHOWN: Final = 10
"""Names that a sentence lists."""


class EstateIncomplete(InventoryError):
    """An object that another one needs is not in the estate: it was not saved, or the estate changed meanwhile."""


@dataclass(frozen=True, slots=True)
class PlacedGuest:
    """One guest on one host, with its definition."""

    host: str
    name: str
    id: str
    """What distinguishes it from others of its name in the estate."""
    defined: DefinedGuest


@dataclass(frozen=True, slots=True)
class DefinedEstate:
    """An estate, and the definition of each guest by its host and domain."""

    estate: Estate
    definitions: Mapping[tuple[str, str], DefinedGuest] = field(default_factory=dict)


def defined_estate(
    kind: str, hosts: Sequence[EstateHost], placed: Sequence[PlacedGuest], left_out: Sequence[str]
) -> DefinedEstate:
    """Put an estate together: guests of one name get more as a part of theirs.

    Raises:
        InventoryError: it has no host.
    """
    if not hosts:
        raise InventoryError(f"{kind} without any host: nothing to audit")
    names = _distinct_names(placed)
    processes = Counter((each.host, each.defined.process_name) for each in placed)
    guests: list[EstateGuest] = []
    definitions: dict[tuple[str, str], DefinedGuest] = {}
    for name, each in zip(names, placed, strict=True):
        shares = processes[each.host, each.defined.process_name] > 1
        domain = name if shares else each.defined.process_name
        guests.append(EstateGuest(name, each.host, domain))
        definitions[each.host, domain] = replace(each.defined, shares_name=shares)
    return DefinedEstate(Estate(kind, tuple(hosts), tuple(guests), tuple(left_out)), definitions)


def _distinct_names(placed: Sequence[PlacedGuest]) -> list[str]:
    """The name of each guest; of several of one name with the host, and on one host with what distinguishes them."""
    of_name = Counter(each.name for each in placed)
    on_host = Counter((each.host, each.name) for each in placed)
    return [
        each.name
        if of_name[each.name] == 1
        else f"{each.name} on {each.host}"
        if on_host[each.host, each.name] == 1
        else f"{each.name} ({each.id})"
        for each in placed
    ]


def left_out(noun: str, names: Sequence[str], reason: str) -> Iterator[str]:
    """A sentence for what is not audited, where there is anything."""
    if names:
        shown = ", ".join(printable(each, 80) for each in first_of(sorted(names), _SHOWN))
        yield f"{plural(len(names), noun)} left out, {reason}: {shown}"


def read_text(path: Path, limit: int) -> str:
    """Read one file of an estate.

    Raises:
        InventoryError: it cannot be read, is too large, or is not UTF-8 text; the message names it.
    """
    try:
        return read_bounded(path, limit).decode("utf-8-sig")
    except FileUnusable as error:
        raise InventoryError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise InventoryError(f"{path}: is not UTF-8 text") from None
