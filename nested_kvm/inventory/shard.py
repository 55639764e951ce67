"""A fleet in several parts, one for each controller: what is judged together stays together."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from nested_kvm.errors import UsageError
from nested_kvm.inventory.target import Inventory, Target

MOST: Final = 100_000
"""Shards of one fleet."""
_FORM: Final = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of so many; the first is number 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, slots=True)
class FleetShard:
    """A part of one fleet in particular."""

    number: int
    of: int
    fleet: str
    """What `fleet_digest` says of all targets that were split."""


def parse_shard(text: str) -> Shard:
    """Read `K/N`.

    Raises:
        UsageError: it is none, or there is no such part.
    """
    form = _FORM.fullmatch(text)
    shard = None if form is None else Shard(int(form[1]), int(form[2]))
    if shard is None or not shard.number <= shard.of <= MOST:
        raise UsageError(
            f"--shard={text} is no part of a fleet: write --shard=K/N with 1 <= K <= N <= {MOST}, "
            "for example --shard=1/4 for the first of four"
        )
    return shard


def fleet_digest(names: Iterable[str]) -> str:
    """SHA-256 over the sorted names, in hexadecimal: the same fleet has the same one, in whatever order."""
    return sha256(json.dumps(sorted(names)).encode()).hexdigest()


def split(inventory: Inventory, shard: Shard) -> Inventory:
    """Keep the targets of one part, in the inventory's order.

    Raises:
        UsageError: there is nothing for this part.
    """
    together = units(inventory.targets)
    if shard.number > len(together):
        raise UsageError(
            f"--shard={shard} is empty: {inventory.source} has only {len(together)} part(s) that can be audited apart "
            f"(guests stay with their host, hosts with their group): split it into {len(together)} or fewer, "
            "on every controller"
        )
    kept = {target.name for target in _shares(together, shard.of)[shard.number - 1]}
    return replace(inventory, targets=tuple(target for target in inventory if target.name in kept))


def units(targets: Sequence[Target]) -> list[list[Target]]:
    """The smallest parts: each guest with its host, the hosts of one group together; in the order of their first."""
    first: dict[_Key, _Key] = {}
    for target in targets:
        own = _leader(first, ("target", target.name))
        for tie in _ties(target):
            first[_leader(first, tie)] = own
    together: dict[_Key, list[Target]] = {}
    for target in targets:
        together.setdefault(_leader(first, ("target", target.name)), []).append(target)
    return list(together.values())


def _ties(target: Target) -> Iterator[_Key]:
    """A host that is not among the targets ties its guests together all the same: the way to them leads over it."""
    if target.host is not None:
        yield "target", target.host
    if target.group is not None:
        yield "group", target.group


def _leader(first: dict[_Key, _Key], key: _Key) -> _Key:
    while (above := first.setdefault(key, key)) != key:
        first[key] = first[above]
        key = above
    return key


def _shares(together: Sequence[Sequence[Target]], of: int) -> list[list[Target]]:
    """Each unit to the share that has the fewest targets, the first of these."""
    shares: list[list[Target]] = [[] for _ in range(min(of, len(together)))]
    for unit in together:
        min(shares, key=len).extend(unit)
    return shares
