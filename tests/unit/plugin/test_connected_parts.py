"""Which machines have to be there before those of a host can be evaluated."""

from collections.abc import Iterable
from datetime import UTC, datetime

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.fleet.connected import ConnectedParts
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy


def target(name: str, host: str | None = None, group: str | None = None) -> Target:
    return Target(name, TargetLevel.L1 if host else TargetLevel.L0, None, Policy(), host=host, group=group)


FLEET = (
    target("kvm-a", group="rack"),
    target("ci-1", "kvm-a"),
    target("kvm-b"),
    target("ci-2", "kvm-b"),
    target("ci-3", "kvm-b"),
    target("kvm-c", group="rack"),
    target("lone", "a-host-that-is-not-selected"),
)


def finished(order: Iterable[str]) -> list[list[str]]:
    parts, by_name = ConnectedParts(FLEET), {each.name: each for each in FLEET}
    added = [parts.add(Machine(Bundle(by_name[name], datetime.now(UTC), "1"))) for name in order]
    return [[machine.target.name for machine in part] for part in added]


def test_a_host_waits_for_its_guests_and_a_guest_for_its_host() -> None:
    assert finished(["ci-3", "kvm-b", "ci-2"]) == [[], [], ["kvm-b", "ci-2", "ci-3"]]


def test_hosts_of_a_group_wait_for_each_other_and_for_the_guests_of_all() -> None:
    assert finished(["kvm-c", "ci-1", "kvm-a"]) == [[], [], ["kvm-a", "ci-1", "kvm-c"]]


def test_nothing_waits_for_what_it_does_not_depend_on() -> None:
    assert finished(["lone"]) == [["lone"]]


def test_each_machine_is_in_one_part() -> None:
    names = [each.name for each in reversed(FLEET)]
    assert sorted(name for part in finished(names) for name in part) == sorted(names)
