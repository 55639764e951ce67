"""Compare the hosts between which guests may migrate; each trait is collected once for the whole group."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest
from typing import Final

from nested_kvm.errors import NotCollected, NotObserved
from nested_kvm.fleet.host_features import HostFeatures, features_of_group
from nested_kvm.fleet.host_traits import HostTraits, host_traits_of
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import first_of

_NAMED: Final = 3
"""How many hosts are named where many have the same value, or could not be inspected."""


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """How one host differs from its group. `group` None: it has none. `unseen` says what could not be compared.

    Source: `/proc/cpuinfo`, the KVM module's parameters and kmod's answer, of each host of the group.
    """

    group: str | None
    others: int = 0
    differences: tuple[Evidence, ...] = ()
    unseen: tuple[str, ...] = ()
    features: HostFeatures | None = None
    """The CPU features that the host lacks; None: its CPUs could not be read."""


@dataclass(frozen=True, slots=True)
class _Values:
    """The commonest values of one trait, with the hosts that have them, and the one that most have."""

    commonest: Sequence[tuple[str, Sequence[str]]]
    majority: str | None


def _values_of(hosts: Mapping[str, Sequence[str]]) -> _Values:
    commonest = nsmallest(_NAMED + 1, hosts.items(), key=lambda item: (-len(item[1]), item[0]))
    value, having = commonest[0]
    return _Values(commonest, value if 2 * len(having) > sum(map(len, hosts.values())) else None)


class HostGroup:
    """The hosts of one group. `absent` names those of the inventory that are not part of this run."""

    def __init__(self, name: str, machines: Sequence[Machine], absent: Sequence[str] = ()) -> None:
        self.name = name
        self._machines = machines
        self._absent = absent

    def comparison(self, host: str) -> GroupComparison:
        """The traits of a host that differ from the majority of its group; without a majority, all that differ.

        Raises:
            NotObserved: nothing differs, but the host itself was not observed completely.
        """
        others = len(self._machines) + len(self._absent) - 1
        own = self._traits[host]
        differences = tuple(self._differences(host, own))
        if others and not differences and own.unseen:
            machine = next(each for each in self._machines if each.target.name == host)
            is_archived = machine.bundle.origin is not None and machine.bundle.failure is None
            raise (NotCollected if is_archived else NotObserved)(next(iter(own.unseen.values())))
        return GroupComparison(self.name, others, differences, self._unseen, self._features.get(host))

    @cached_property
    def _features(self) -> Mapping[str, HostFeatures]:
        return features_of_group([machine for machine in self._machines if machine.is_observed])

    @cached_property
    def _traits(self) -> Mapping[str, HostTraits]:
        return {machine.target.name: host_traits_of(machine) for machine in self._machines}

    @cached_property
    def _values(self) -> Mapping[str, _Values]:
        """The values of each trait within the group."""
        found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for host, traits in self._traits.items():
            for trait, value in traits.seen.items():
                found[trait][value].append(host)
        return {trait: _values_of(hosts) for trait, hosts in found.items()}

    @cached_property
    def _unseen(self) -> tuple[str, ...]:
        """The hosts that could not be compared in everything."""
        reasons: dict[str, list[str]] = {}
        for host, traits in self._traits.items():
            for reason in traits.unseen.values():
                reasons.setdefault(reason, []).append(host)
        seen = [f"{_names(hosts)}: {reason}" for reason, hosts in reasons.items()]
        absent = [f"{_names(self._absent)}: not part of this run"] if self._absent else []
        return (*first_of(seen, _NAMED), *absent)

    def _differences(self, host: str, own: HostTraits) -> Iterator[Evidence]:
        for trait, value in own.seen.items():
            values = self._values[trait]
            if value != values.majority and len(values.commonest) > 1:
                others = [f"{other} ({_names(hosts)})" for other, hosts in values.commonest if other != value]
                yield Evidence(trait, ", ".join([f"{value} ({host})", *others[:_NAMED]]))


def host_groups(machines: Iterable[Machine], declared: Iterable[Target] = ()) -> dict[str, HostGroup]:
    """Every group that a machine is in, by its name."""
    members: dict[str, list[Machine]] = {}
    looked_at: set[str] = set()
    for machine in machines:
        looked_at.add(machine.target.name)
        if machine.target.group is not None and machine.is_l0:
            members.setdefault(machine.target.group, []).append(machine)
    absent: dict[str, list[str]] = defaultdict(list)
    for target in declared:
        if target.group is not None and target.name not in looked_at and target.level is not TargetLevel.L1:
            absent[target.group].append(target.name)
    return {name: HostGroup(name, group, absent.get(name, ())) for name, group in members.items()}


def _names(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _NAMED} others" if len(hosts) > _NAMED else ""
    return f"{', '.join(hosts[:_NAMED])}{more}"
