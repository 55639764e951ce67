"""A fleet is split the same way every time, into parts that can be audited apart."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import UsageError
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.shard import MOST, Shard, fleet_digest, parse_shard, split, units
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.model.policy import Policy


def target(name: str, *, of: str | None = None, group: str | None = None) -> Target:
    level = TargetLevel.L0 if of is None else TargetLevel.L1
    return Target(name, level, Address.parse(f"ssh://{name}"), Policy(), host=of, group=group)


@st.composite
def fleets(draw: st.DrawFn) -> Inventory:
    """Hosts in groups or alone with guests, and guests of hosts that are not among them."""
    targets: list[Target] = []
    groups = st.none() | st.sampled_from(["rack-1", "rack-2", "rack-3"])
    for number in range(draw(st.integers(1, 12))):
        name = f"kvm-{number}"
        if draw(st.booleans()):
            targets.append(target(name, group=draw(groups)))
        guests = draw(st.integers(0 if targets and targets[-1].name == name else 1, 3))
        targets += [target(f"ci-{number}-{guest}", of=name) for guest in range(guests)]
    return Inventory("fleet.yaml", tuple(targets))


def parts_of(fleet: Inventory, of: int) -> list[list[str]]:
    return [[each.name for each in split(fleet, Shard(number, of))] for number in range(1, of + 1)]


@pytest.mark.slow
@given(fleets(), st.data())
def test_the_shards_are_the_fleet_each_target_once(fleet: Inventory, data: st.DataObject) -> None:
    of = data.draw(st.integers(1, len(units(fleet.targets))))
    parts = parts_of(fleet, of)
    assert all(parts)
    assert Counter(name for part in parts for name in part) == Counter(each.name for each in fleet)
    assert parts == parts_of(fleet, of)


@given(fleets(), st.data())
def test_what_is_judged_together_stays_together(fleet: Inventory, data: st.DataObject) -> None:
    of = data.draw(st.integers(1, len(units(fleet.targets))))
    shard = {name: number for number, part in enumerate(parts_of(fleet, of)) for name in part}
    places: dict[str, set[int]] = {}
    for each in fleet:
        places.setdefault(f"host {each.host or each.name}", set()).add(shard[each.name])
        if each.group is not None:
            places.setdefault(f"group {each.group}", set()).add(shard[each.name])
    assert {place: len(found) for place, found in places.items()} == dict.fromkeys(places, 1)


@given(fleets(), st.data())
def test_the_shards_are_about_as_large(fleet: Inventory, data: st.DataObject) -> None:
    together = units(fleet.targets)
    sizes = [len(part) for part in parts_of(fleet, data.draw(st.integers(1, len(together))))]
    assert max(sizes) - min(sizes) <= max(map(len, together))


@given(fleets())
def test_each_keeps_the_order_of_the_inventory(fleet: Inventory) -> None:
    names = [each.name for each in fleet]
    for part in parts_of(fleet, min(3, len(units(fleet.targets)))):
        assert part == sorted(part, key=names.index)


def test_a_unit_goes_to_the_first_of_the_smallest_shards() -> None:
    hosts = [target(f"kvm-{number}") for number in range(4)]
    fleet = Inventory("fleet.yaml", (hosts[0], target("ci-0", of="kvm-0"), *hosts[1:]))
    assert parts_of(fleet, 2) == [["kvm-0", "ci-0", "kvm-3"], ["kvm-1", "kvm-2"]]


def test_groups_join_what_stands_apart_in_the_file() -> None:
    names = [target("a", group="rack"), target("b"), target("c", group="rack"), target("guest", of="c")]
    assert [[each.name for each in unit] for unit in units(names)] == [["a", "c", "guest"], ["b"]]


def test_a_guest_that_is_a_host_keeps_all_of_them_together() -> None:
    nested = replace(target("l1", of="l0"), group="rack")
    names = [target("l0"), nested, target("l2", of="l1"), target("other", group="rack")]
    assert len(units(names)) == 1


def test_a_shard_that_would_be_empty_is_refused() -> None:
    fleet = Inventory("fleet.yaml", (target("kvm-a"), target("ci-1", of="kvm-a"), target("kvm-b")))
    with pytest.raises(UsageError, match=r"--shard=3/4 is empty: fleet\.yaml has only 2 .*split it into 2 or fewer"):
        split(fleet, Shard(3, 4))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1/",
        "/2",
        "0/2",
        "3/2",
        "-1/2",
        "1/0",
        "01/2",
        "1/2/3",
        "1 / 2",
        "a/b",
        "1/²",
        "1.0/2",
        f"1/{MOST + 1}",
    ],
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"write --shard=K/N with 1 <= K <= N"):
        parse_shard(text)


def test_a_shard_is_read() -> None:
    assert parse_shard("2/4") == Shard(2, 4)


@given(st.lists(st.text(), unique=True), st.randoms(use_true_random=False))
def test_a_fleet_is_known_by_its_names_in_any_order(names: list[str], random: Random) -> None:
    shuffled = random.sample(names, len(names))
    assert fleet_digest(names) == fleet_digest(shuffled)
    assert fleet_digest([*names, "one more"]) != fleet_digest(names)
