"""Splits a fleet into shards, one for each controller; targets that are evaluated together stay together."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from nested_kvm.errors import UsageError
from nested_kvm.inventory.target import Inventory, Target
from nested_kvm.util.text import plural

MOST: Final = 100_000
"""The largest number of shards of one fleet."""
_FORM: Final = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `number` of `of`; the first is number 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, slots=True)
class FleetShard:
    """A shard of a particular fleet."""

    number: int
    of: int
    fleet: str
    """The `fleet_digest` of all targets that were split."""


def parse_shard(text: str) -> Shard:
    """Parse `K/N`.

    Raises:
        UsageError: it is not of that form, or K is larger than N.
    """
    form = _FORM.fullmatch(text)
    shard = None if form is None else Shard(int(form[1]), int(form[2]))
    if shard is None or not shard.number <= shard.of <= MOST:
        raise UsageError(
            f"--shard={text} is not a valid shard: write --shard=K/N with 1 <= K <= N <= {MOST}, "
            "for example --shard=1/4 for the first of four"
        )
    return shard


def fleet_digest(names: Iterable[str]) -> str:
    """Return the SHA-256 of the sorted names, in hexadecimal: it does not depend on their order."""
    return sha256(json.dumps(sorted(names)).encode()).hexdigest()


def split(inventory: Inventory, shard: Shard) -> Inventory:
    """Keep the targets of one shard, in the inventory's order.

    Raises:
        UsageError: there are no targets for this shard.
    """
    together = units(inventory.targets)
    if shard.number > len(together):
        raise UsageError(
            f"--shard={shard} is empty: {inventory.source} has only {plural(len(together), 'separable part')} "
            f"(guests stay with their host, hosts with their group): split it into {len(together)} or fewer, "
            "on every controller"
        )
    kept = {target.name for target in _shares(together, shard.of)[shard.number - 1]}
    return replace(inventory, targets=tuple(target for target in inventory if target.name in kept))


def units(targets: Sequence[Target]) -> list[list[Target]]:
    """Return the smallest parts: each guest with its host, hosts of one group together, ordered by first target."""
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
    """Yield what a target must stay with. A host that is not itself a target still ties its guests together."""
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
    """Assign each unit to the share with the fewest targets."""
    shares: list[list[Target]] = [[] for _ in range(min(of, len(together)))]
    for unit in together:
        min(shares, key=len).extend(unit)
    return shares
