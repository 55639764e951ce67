"""Checks that merged runs make up one fleet: each target once, each shard once, and none missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nested_kvm.inventory.shard import FleetShard, fleet_digest
from nested_kvm.results.reader import Unusable
from nested_kvm.util.text import first_of, printable

_NAMED: Final = 20
"""Missing shards that are named, at most."""


class MergedFleet:
    """The targets and shards of the runs, by file, in the order in which they are read."""

    def __init__(self) -> None:
        self._owners: dict[str, Path] = {}
        self._shards: dict[int, Path] = {}
        self._first: FleetShard | None = None
        self._split: list[str] = []

    def take_shard(self, path: Path, shard: FleetShard) -> None:
        """Record that a run is a shard of a fleet.

        Raises:
            Unusable: it is of another fleet than the parts before, or is there twice.
        """
        first = self._first = self._first or shard
        one = next(iter(self._shards.values()), path)
        if shard.fleet != first.fleet:
            raise Unusable(
                f"run.shard.fleet: is a shard of another fleet than {one}: merge shards of one inventory and "
                "the same --hosts"
            )
        if shard.of != first.of:
            raise Unusable(f"run.shard.of: is one of {shard.of} shards, {one} is one of {first.of}")
        if shard.number in self._shards:
            twin = self._shards[shard.number]
            raise Unusable(f"run.shard.number: is shard {shard.number}, as is {twin}: leave one out")
        self._shards[shard.number] = path

    def take_target(self, path: Path, name: str, *, of_shard: bool) -> None:
        """Record that a run audited a target.

        Raises:
            Unusable: it is there already.
        """
        owner = self._owners.get(name)
        if owner is not None:
            also = "twice" if owner is path else f"as does {owner}"
            raise Unusable(f"has the target {printable(name)!r}, {also}: each may be in one run only, and once")
        self._owners[name] = path
        if of_shard:
            self._split.append(name)

    def has(self, path: Path, name: str) -> bool:
        """Whether that run audited this target."""
        return self._owners.get(name) is path

    def knows(self, name: str) -> bool:
        """Whether any run audited this target."""
        return name in self._owners

    def missing_shards(self) -> Iterator[str]:
        """Return a sentence for each missing shard.

        Raises:
            Unusable: all shards are there, and they are not the fleet that was split.
        """
        if self._first is None:
            return
        missing = [number for number in range(1, self._first.of + 1) if number not in self._shards]
        yield from first_of([f"shard {number} of {self._first.of} is missing" for number in missing], _NAMED, "shard")
        if not missing and fleet_digest(self._split) != self._first.fleet:
            raise Unusable(
                f"the {self._first.of} shards do not have the targets that were split: one is of another "
                "inventory, or was changed since"
            )
