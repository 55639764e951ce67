"""Every way of defining a CPU, nested on and off: the suite's verdict beside the truth inside the guest."""

from dataclasses import dataclass

import pytest

from lab import truth
from lab.guests import GUESTS, Guest
from lab.place import HOST, from_environment
from lab.session import Session
from tests.lab import audit

SUITE = from_environment().suite
SHUT_OFF = {"shut-off"}
if SUITE.vendor == "intel":
    # A start takes two minutes under Bochs: the rows in which Intel differs from AMD, or could.
    SHUT_OFF |= {"changed", "host-model-require", "no-cpu"}
RUNNING = [guest for guest in GUESTS if guest.name not in SHUT_OFF]
POLICIES = ("required", "forbidden")
every_guest = pytest.mark.parametrize("guest", RUNNING, ids=lambda guest: guest.name)
every_definition = pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.name)
every_policy = pytest.mark.parametrize("policy", POLICIES)


Reports = dict[str, audit.Report]


@dataclass(frozen=True)
class World:
    """The lab with nested on or off and every guest up, and what is true in it."""

    nested: bool
    inside: dict[str, truth.Inside]
    l2_answers: dict[str, bool]


@pytest.fixture(scope="module", params=[True, False], ids=["nested-on", "nested-off"])
def world(request: pytest.FixtureRequest, lab: Session) -> World:
    lab.host.stop_all()
    lab.host.set_nested(on=request.param)
    for guest in RUNNING:
        lab.start_guest(guest.name)
    shells = {guest.name: lab.host.guest(guest.name) for guest in RUNNING}
    return World(
        nested=lab.host.nested(),
        inside={name: truth.inside(shell) for name, shell in shells.items()},
        l2_answers={name: truth.l2_answers(shell) for name, shell in shells.items()},
    )


@pytest.fixture(scope="module")
def reports(world: World, lab: Session, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    directory = tmp_path_factory.mktemp("reports")
    return {policy: audit.run(lab, directory / policy, world.inside, nested=policy) for policy in POLICIES}


def verdict(*, has: bool, policy: str) -> str:
    """What a control must say of something that the policy wants or does not want."""
    return "pass" if has is (policy == "required") else "fail"


@every_guest
def test_a_guest_has_the_flag_that_the_table_says(world: World, guest: Guest) -> None:
    assert world.inside[guest.name].flag is guest.expects_flag(SUITE, nested=world.nested)


@every_guest
def test_a_guest_has_kvm_and_an_l2_answers_where_the_flag_is(world: World, guest: Guest) -> None:
    inside = world.inside[guest.name]
    assert inside.has_kvm is inside.flag
    assert world.l2_answers[guest.name] is inside.flag


@every_policy
@every_guest
def test_the_verdict_on_the_flag_is_the_truth(world: World, reports: Reports, guest: Guest, policy: str) -> None:
    expected = verdict(has=world.inside[guest.name].flag, policy=policy)
    assert reports[policy].outcome("L1-CPU-01", guest.name) == expected


@every_guest
def test_the_verdict_on_the_guests_kvm_is_the_truth(world: World, reports: Reports, guest: Guest) -> None:
    expected = "pass" if world.inside[guest.name].has_kvm else "fail"
    assert reports["required"].outcome("L1-KVM-01", guest.name) == expected
    assert reports["forbidden"].outcome("L1-KVM-01", guest.name) == "notapplicable"


@every_policy
@every_definition
def test_the_verdict_on_a_definition_is_what_it_gives(reports: Reports, guest: Guest, policy: str) -> None:
    """A definition promises the same with nested off, and the table says which promises hold with it on."""
    expected = verdict(has=guest.definition_gives_flag(SUITE), policy=policy)
    assert reports[policy].outcome("DOM-CPU-02", guest.name) == expected


@every_guest
def test_only_a_guest_started_before_its_definition_changed_waits_for_a_power_cycle(
    reports: Reports, guest: Guest
) -> None:
    expected = "pass" if guest.started_with is None else "fail"
    assert reports["required"].outcome("DOM-CPU-03", guest.name) == expected


@every_definition
def test_every_domain_runs_under_kvm(reports: Reports, guest: Guest) -> None:
    assert reports["required"].outcome("DOM-CPU-01", guest.name) == "pass"


@every_policy
def test_the_verdict_on_the_hosts_module_is_what_it_reads(world: World, reports: Reports, policy: str) -> None:
    assert reports[policy].outcome("L0-KVM-04", HOST) == verdict(has=world.nested, policy=policy)


@pytest.mark.parametrize("control", ["L0-CPU-01", "L0-KVM-01", "L0-KVM-03", "L0-LIB-01"])
def test_the_host_can_run_guests_either_way(reports: Reports, control: str) -> None:
    assert reports["required"].outcome(control, HOST) == "pass"


@every_policy
def test_the_verdict_on_the_next_load_is_what_modprobe_would_give(world: World, reports: Reports, policy: str) -> None:
    """The reload by hand left modprobe.d alone: it says 1, whatever runs now."""
    assert reports[policy].outcome("L0-PER-01", HOST) == verdict(has=True, policy=policy)
    assert reports[policy].outcome("L0-PER-02", HOST) == ("pass" if world.nested else "fail")


@every_guest
def test_a_guest_can_nest_only_where_an_l2_answered(world: World, reports: Reports, guest: Guest) -> None:
    said = {each["target"]: each["can_nest"] for each in reports["required"].data["diagnoses"]}
    assert said[guest.name] == ("yes" if world.l2_answers[guest.name] else "no")
