"""A fact that machines share: never across a difference in what it follows from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from nested_kvm.errors import ObservationError
from nested_kvm.evidence.bundle import Bundle, Failure, LibvirtAnswer, Origin
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cpu import Cpu, cpu_of
from nested_kvm.facts.kernel.platform import platform_of
from nested_kvm.facts.kvm.device_rule import device_rule_of
from nested_kvm.facts.modprobe.boot_cmdline import next_cmdline_of
from nested_kvm.facts.modprobe.config import ModprobeConfiguration, modprobe_configuration_of
from nested_kvm.facts.modprobe.next_load import next_load_of
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.shared_fact import LONGEST, REMEMBERED, SharedFact
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from tests.support.bundles import bundle_of
from tests.support.scenario import scenarios
from tests.support.scenario_fleet import bundle as scenario_bundle

READ, OTHER = Reading("/read", Status.OK, "a"), Reading("/other", Status.OK, "b")


class Counted:
    """A function from a bundle to a fact, and how often it was called."""

    def __init__(self, function: Callable[[Bundle], Any]) -> None:
        self._function = function
        self.calls = 0

    def __call__(self, bundle: Bundle, /) -> Any:
        self.calls += 1
        return self._function(bundle)


def test_machines_with_the_same_readings_share_a_fact() -> None:
    counted = Counted(lambda bundle: [bundle.text("/read")])
    fact = SharedFact(counted)
    first, second = fact.of(bundle_of(READ, OTHER)), fact.of(bundle_of(replace(READ), replace(OTHER, text="c")))
    assert first is second
    assert first == ["a"]
    assert counted.calls == 1


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param([replace(READ, text="b")], id="text"),
        pytest.param([replace(READ, status=Status.FAILED)], id="status"),
        pytest.param([replace(READ, link="/elsewhere")], id="link"),
        pytest.param([replace(READ, exit_status=0)], id="exit status"),
        pytest.param([], id="absent"),
    ],
)
def test_a_reading_that_differs_is_read_again(changed: list[Reading]) -> None:
    fact = SharedFact(lambda bundle: bundle.readings.get("/read"))
    assert fact.of(bundle_of(READ)) == READ
    assert fact.of(bundle_of(*changed)) == (changed[0] if changed else None)
    assert fact.of(bundle_of(READ)) == READ


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda bundle: "/read" in bundle.readings, id="in"),
        pytest.param(lambda bundle: bundle.readings.get("/read") is not None, id="get"),
        pytest.param(lambda bundle: bool([name for name in bundle.readings if name == "/read"]), id="names"),
        pytest.param(lambda bundle: bool([each for each in bundle.readings.values() if each == READ]), id="values"),
        pytest.param(lambda bundle: len(bundle.readings) == 1, id="number"),
    ],
)
def test_what_was_not_there_counts_too(ask: Callable[[Bundle], bool]) -> None:
    fact = SharedFact(ask)
    assert [fact.of(bundle_of()), fact.of(bundle_of(READ)), fact.of(bundle_of())] == [False, True, False]


def test_the_order_of_the_readings_counts_where_they_are_listed() -> None:
    fact = SharedFact(lambda bundle: list(bundle.readings))
    assert fact.of(bundle_of(READ, OTHER)) == ["/read", "/other"]
    assert fact.of(bundle_of(OTHER, READ)) == ["/other", "/read"]


def test_arguments_count() -> None:
    fact = SharedFact(lambda bundle, word, *, more: (bundle.text("/read"), word, more))
    found = [fact.of(bundle_of(READ), word, more=more) for word in ("x", "y") for more in (True, False)]
    assert found == [("a", word, more) for word in ("x", "y") for more in (True, False)]


@pytest.mark.parametrize(
    "other", [{"cut": "/etc"}, {"origin": Origin("sosreport", "sos 4", "file")}, {"failure": Failure("X", "broken")}]
)
def test_why_something_is_missing_counts(other: Mapping[str, Any]) -> None:
    def why(bundle: Bundle) -> str:
        try:
            return bundle.text("/missing")
        except ObservationError as error:
            return str(error)

    fact = SharedFact(why)
    whole, broken = bundle_of(READ), replace(bundle_of(READ), **other)
    assert (fact.of(whole), fact.of(broken), fact.of(whole)) == (why(whole), why(broken), why(whole))
    assert why(whole) != why(broken)


def test_a_fact_cannot_follow_from_what_is_not_compared() -> None:
    fact = SharedFact(lambda bundle: (bundle.target.name, bundle.libvirt))
    machine = replace(bundle_of(READ, libvirt=LibvirtAnswer("qemu:///system", "virsh")), target=target("kvm-a"))
    assert fact.of(machine) == ("", None)


def test_an_error_is_not_kept() -> None:
    counted = Counted(lambda bundle: bundle.text("/missing"))
    fact = SharedFact(counted)
    for _ in range(2):
        with pytest.raises(ObservationError, match="/missing"):
            fact.of(bundle_of(READ))
    assert counted.calls == 2


def test_only_the_last_are_kept() -> None:
    counted = Counted(lambda bundle: bundle.text("/read"))
    fact = SharedFact(counted)
    for number in range(3 * REMEMBERED):
        fact.of(bundle_of(READ))
        fact.of(bundle_of(replace(READ, text=str(number))))
    assert counted.calls == 1 + 3 * REMEMBERED
    assert len(fact._known) == REMEMBERED


def test_what_follows_from_very_much_is_not_kept() -> None:
    fact = SharedFact(lambda bundle: bundle.text("/read"))
    fact.of(bundle_of(replace(READ, text="x" * (LONGEST + 1))))
    assert not fact._known


def test_equal_machines_share_what_is_costly() -> None:
    first, second = (Machine(scenario_bundle(target(name), scenarios()["amd-passes"])) for name in ("kvm-a", "kvm-b"))
    assert first.next_load is second.next_load
    assert first.next_cmdline is second.next_cmdline
    assert first.platform is second.platform
    assert first.device_rule is second.device_rule


def test_every_recorded_machine_has_its_own_facts() -> None:
    of_machine = [(each, SharedFact(each)) for each in (modprobe_configuration_of, device_rule_of)]
    cmdline, load, platform = SharedFact(next_cmdline_of), SharedFact(next_load_of), SharedFact(platform_of)
    for bundle in recorded_bundles():
        for function, fact in of_machine:
            require_same(partial(function, bundle), partial(fact.of, bundle))
        for module in ("kvm_amd", "kvm_intel"):
            require_same(partial(next_cmdline_of, bundle, module), partial(cmdline.of, bundle, module))
            configuration = result(partial(modprobe_configuration_of, bundle))
            if isinstance(configuration, ModprobeConfiguration):
                given = (bundle, module, configuration)
                require_same(partial(next_load_of, *given), partial(load.of, *given))
        cpu = result(partial(cpu_of, bundle))
        if isinstance(cpu, Cpu):
            require_same(partial(platform_of, bundle, cpu), partial(platform.of, bundle, cpu))


def require_same(alone: Callable[[], object], shared: Callable[[], object]) -> None:
    assert result(shared) == result(alone)


def result(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except ObservationError as error:
        return type(error), str(error)


def recorded_bundles() -> Iterator[Bundle]:
    return (scenario_bundle(target(name), each) for name, each in scenarios().items())


def target(name: str) -> Target:
    return Target(name, TargetLevel.L0, Address.parse(f"ssh://root@{name}"), Policy(), libvirt="qemu:///system")
