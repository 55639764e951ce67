"""Every CPU definition with nested on and off: the audit's results compared with the facts inside the guest."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab import guest_facts
from lab.config import HOST, from_environment
from lab.guests import GUESTS, Guest
from lab.session import Session
from tests.e2e.lab import audit

SUITE = from_environment().suite
SHUT_OFF = {"shut-off"}
if SUITE.vendor == "intel":
    # A start takes two minutes under Bochs: only the rows in which Intel differs from AMD, or could.
    SHUT_OFF |= {"changed", "host-model-require", "no-cpu"}
RUNNING = [guest for guest in GUESTS if guest.name not in SHUT_OFF]
AT_ONCE = 4
"""How many guests run together: an emulated host with seven is slow and sometimes hangs."""
STARTED = {
    "nested-on": RUNNING,
    "nested-off": [each for each in RUNNING if each.definition_gives_flag(SUITE) or each.started_with],
}
"""The others have no flag either way: with nested off their definitions are asked of the oracle."""
WORLDS = [pytest.param(name == "nested-on", id=name) for name in STARTED]
POLICIES = ("required", "forbidden")
every_guest = pytest.mark.parametrize(
    ("world", "guest"),
    [
        pytest.param(name == "nested-on", guest, id=f"{name}-{guest.name}")
        for name, guests in STARTED.items()
        for guest in guests
    ],
    indirect=["world"],
    scope="module",
)
every_definition = pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.name)
every_policy = pytest.mark.parametrize("policy", POLICIES)


@dataclass(frozen=True)
class World:
    """The lab with nested on or off: the facts inside its guests, and the audit's reports."""

    nested: bool
    inside: dict[str, guest_facts.GuestFacts] = field(default_factory=dict)
    l2_answers: dict[str, bool] = field(default_factory=dict)
    reports: dict[tuple[str, str], audit.Report] = field(default_factory=dict)
    """The reports by policy and by the name of a running guest or of the host."""

    def outcome(self, control: str, subject: str, policy: str = "required") -> str:
        """The outcome of a control; for the host and a guest that never runs, in the last report."""
        return self.report(subject, policy).outcome(control, subject)

    def report(self, subject: str, policy: str = "required") -> audit.Report:
        """The report of the audit during which a guest was running."""
        return self.reports.get((policy, subject), self.reports[policy, HOST])


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest, lab: Session, tmp_path_factory: pytest.TempPathFactory) -> World:
    if lab.host.nested() is not request.param:
        lab.host.stop_all()
        lab.host.set_nested(on=request.param)
    world = World(nested=lab.host.nested())
    names = [guest.name for guest in STARTED["nested-on" if world.nested else "nested-off"]]
    for first in range(0, len(names), AT_ONCE):
        read_and_audit(world, lab, names[first : first + AT_ONCE], tmp_path_factory.mktemp("reports"))
    return world


def read_and_audit(world: World, lab: Session, names: list[str], directory: Path) -> None:
    """Bring some guests up and no others, read the facts inside, and audit them."""
    for name in set(lab.host.running()) - set(names):
        lab.stop_guest(name)
    lab.restore(names)
    for name in names:
        world.inside[name] = guest_facts.read(lab.host.guest(name))
        world.l2_answers[name] = guest_facts.l2_answers(lab.host.guest(name))
    required = audit.run(lab, directory / "audit", names, nested="required")
    for policy in POLICIES:
        report = required if policy == "required" else audit.judge(lab, required, nested=policy)
        world.reports.update({(policy, name): report for name in (*names, HOST)})


@pytest.fixture(scope="module")
def asked(world: World, lab: Session, tmp_path_factory: pytest.TempPathFactory) -> audit.Report:
    """The host with `--active`, and no guest: its own libvirt and QEMU say what each definition gives."""
    assert world.nested
    directory = tmp_path_factory.mktemp("asked") / "audit"
    return audit.run(lab, directory, [], nested="required", arguments=["--active"])


@pytest.fixture(scope="module")
def as_candidates(world: World, lab: Session, tmp_path_factory: pytest.TempPathFactory) -> audit.Report:
    """The host with `--active`, asked about files with the same definitions, as if it had none of the domains."""
    assert world.nested
    directory = tmp_path_factory.mktemp("as-candidates")
    files = directory / "files"
    files.mkdir()
    for guest in GUESTS:
        (files / f"{guest.name}.xml").write_text(guest.xml(SUITE))
    arguments = ["--active", f"--candidate={files}"]
    return audit.run(lab, directory / "audit", [], nested="required", arguments=arguments)


def expected_outcome(*, has: bool, policy: str) -> str:
    """The outcome that a policy asks for, given whether the subject has the feature."""
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
def test_the_outcome_for_the_flag_agrees_with_the_guest(world: World, guest: Guest, policy: str) -> None:
    expected = expected_outcome(has=world.inside[guest.name].flag, policy=policy)
    assert world.outcome("L1-CPU-01", guest.name, policy) == expected


@every_guest
def test_the_outcome_for_the_guests_kvm_agrees_with_the_guest(world: World, guest: Guest) -> None:
    expected = "pass" if world.inside[guest.name].has_kvm else "fail"
    assert world.outcome("L1-KVM-01", guest.name) == expected
    assert world.outcome("L1-KVM-01", guest.name, "forbidden") == "notapplicable"


@every_policy
@every_definition
def test_the_outcome_for_a_definition_is_what_it_gives(world: World, guest: Guest, policy: str) -> None:
    """A definition promises the same with nested off; GUESTS says what it gives with nested on."""
    expected = expected_outcome(has=guest.definition_gives_flag(SUITE), policy=policy)
    assert world.outcome("DOM-CPU-02", guest.name, policy) == expected


@every_guest
def test_only_a_guest_started_before_its_definition_changed_waits_for_a_power_cycle(world: World, guest: Guest) -> None:
    expected = "pass" if guest.started_with is None else "fail"
    assert world.outcome("DOM-CPU-03", guest.name) == expected


@every_definition
def test_every_domain_runs_under_kvm(world: World, guest: Guest) -> None:
    assert world.outcome("DOM-CPU-01", guest.name) == "pass"


@every_policy
def test_the_outcome_for_the_hosts_module_is_what_it_reads(world: World, policy: str) -> None:
    assert world.outcome("L0-KVM-04", HOST, policy) == expected_outcome(has=world.nested, policy=policy)


@pytest.mark.parametrize("control", ["L0-CPU-01", "L0-KVM-01", "L0-KVM-03", "L0-LIB-01"])
def test_the_host_can_run_guests_either_way(world: World, control: str) -> None:
    assert world.outcome(control, HOST) == "pass"


@every_policy
def test_the_outcome_for_the_next_load_is_what_modprobe_would_give(world: World, policy: str) -> None:
    """The reload did not change modprobe.d, which says 1 whatever the loaded module has."""
    assert world.outcome("L0-PER-01", HOST, policy) == expected_outcome(has=True, policy=policy)
    assert world.outcome("L0-PER-02", HOST, policy) == ("pass" if world.nested else "fail")


@every_policy
@every_guest
def test_a_guest_can_nest_only_where_an_l2_answered(world: World, guest: Guest, policy: str) -> None:
    can_nest, link, cause = world.report(guest.name, policy).diagnosis(guest.name)
    assert can_nest == ("yes" if world.l2_answers[guest.name] else "no")
    assert (link, cause) == guest.broken_link(SUITE, nested=world.nested)


@every_definition
@pytest.mark.parametrize("world", [pytest.param(True, id="nested-on")], indirect=True, scope="module")
def test_asked_the_hosts_own_programs_say_what_a_guest_gets(world: World, asked: audit.Report, guest: Guest) -> None:
    assert_answered(world, asked, guest)


@every_definition
@pytest.mark.parametrize("world", [pytest.param(True, id="nested-on")], indirect=True, scope="module")
def test_asked_about_a_candidate_they_say_what_its_guest_gets(
    world: World, as_candidates: audit.Report, guest: Guest
) -> None:
    assert as_candidates.data["run"]["candidates"]
    assert_answered(world, as_candidates, guest)


def assert_answered(world: World, report: audit.Report, guest: Guest) -> None:
    """The host's own answer decided, and is what the guest gets; where one was booted, what it has."""
    result = report.result("DOM-CPU-02", guest.name)
    assert result["outcome"] == expected_outcome(has=guest.definition_gives_flag(SUITE), policy="required")
    assert any(each["source"].startswith("query-cpu-model-expansion ") for each in result["evidence"])
    assert result["outcome"] == "pass" or "QEMU on this host does not give it" in result["message"]
    if guest.name in world.inside and guest.started_with is None:
        assert result["outcome"] == expected_outcome(has=world.inside[guest.name].flag, policy="required")
