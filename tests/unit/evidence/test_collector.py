"""Many targets at once: what they share, and when the run ends."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nested_kvm.connection import Settings
from nested_kvm.connection.deadline import Deadline
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.collector import Connections, collect
from nested_kvm.evidence.pace import Pace
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.target import Inventory
from tests.support.guests import PLAIN_GUEST
from tests.support.sshd import Sshd, SshdFactory
from tests.support.threads import threads_have_ended

pytestmark = [pytest.mark.needs("sshd", "accounts"), pytest.mark.slow]

GUESTS = [f"ci-{number}" for number in range(30)]

Collect = Callable[..., dict[str, Bundle]]


@pytest.fixture(scope="module")
def host(start_sshd: SshdFactory) -> Sshd:
    """One L0, with the limits that sshd has by itself."""
    return start_sshd()


@pytest.fixture(scope="module")
def guest(start_sshd: SshdFactory) -> Sshd:
    """What answers for every guest, so it lets more of them in at once."""
    return start_sshd(prelude=PLAIN_GUEST, settings=["MaxStartups 200"])


@pytest.fixture
def observed(tmp_path: Path) -> Collect:
    """Look at a fleet, and return what was seen of each target."""

    def observed(text: str, config: str, deadline: Deadline | None = None, **settings: float) -> dict[str, Bundle]:
        (tmp_path / "fleet.yaml").write_text(text)
        (tmp_path / "config").write_text(config)
        inventory: Inventory = load_inventory(tmp_path / "fleet.yaml")
        how = Settings(ssh_config=tmp_path / "config", **settings)  # type: ignore[arg-type]  # a test's own
        connections = Connections(inventory, how)
        bundles: dict[str, Bundle] = {}
        keep = lambda each: bundles.update({each.target.name: each})  # noqa: E731
        collect(inventory, connections, how, Pace(32), keep, deadline=deadline)
        connections.close()
        return bundles

    return observed


def config_of(*machines: Sshd, known: Path, also: str = "") -> str:
    known.write_text("".join(machine.known_hosts() for machine in machines))
    keys = "".join(f"IdentityFile {machine.identity}\n" for machine in machines)
    return f"{also}Host *\nIdentitiesOnly yes\nUserKnownHostsFile {known}\nGlobalKnownHostsFile none\n{keys}"


def test_thirty_guests_behind_one_host_are_one_login_on_it(
    host: Sshd, guest: Sshd, observed: Collect, tmp_path: Path
) -> None:
    before = host.logins, guest.logins
    entries = "".join(f"      {name}: {{address: '{guest.address()}', via: host}}\n" for name in GUESTS)
    fleet = f"hosts:\n  kvm-a:\n    address: '{host.address()}'\n    libvirt: none\n    guests:\n{entries}"
    bundles = observed(fleet, config_of(host, guest, known=tmp_path / "known"), probe_timeout=60.0)
    assert {name: bundle.failure for name, bundle in bundles.items()} == dict.fromkeys(["kvm-a", *GUESTS])
    assert (host.logins - before[0], guest.logins - before[1]) == (1, len(GUESTS))


def test_thirty_targets_behind_one_jump_host_are_one_login_on_it(
    host: Sshd, guest: Sshd, observed: Collect, tmp_path: Path
) -> None:
    before = host.logins
    jump = f"Host kvm-*\nHostName 127.0.0.1\nUser {guest.user}\nPort {guest.port}\nProxyJump {host.address()}\n"
    entries = "".join(f"  kvm-{number}: {{address: 'ssh://kvm-{number}', level: L1}}\n" for number in range(30))
    bundles = observed(f"hosts:\n{entries}", config_of(host, guest, known=tmp_path / "known", also=jump))
    assert {bundle.failure for bundle in bundles.values()} == {None}
    assert len(bundles) == len(GUESTS)
    assert host.logins == before + 1


def test_the_runs_own_deadline_ends_what_still_hangs(
    start_sshd: SshdFactory, guest: Sshd, observed: Collect, tmp_path: Path
) -> None:
    before = threading.enumerate()
    stuck = start_sshd(settings=["ForceCommand sleep 100"])
    fleet = f"hosts:\n  well: {{address: '{guest.address()}', level: L1}}\n  stuck: {{address: '{stuck.address()}'}}\n"
    config = config_of(stuck, guest, known=tmp_path / "known")
    bundles = observed(fleet, config, deadline=Deadline(6), probe_timeout=600.0)
    assert bundles["well"].failure is None
    failure = bundles["stuck"].failure
    assert failure is not None
    assert failure.kind == "LimitExceeded"
    assert failure.message == "stuck: not inspected within the time limit of the run (6 s)"
    assert threads_have_ended(before)


def test_the_runs_deadline_follows_from_the_limits(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(
        "hosts:\n  a: {address: 'ssh://a', guests: {b: {address: 'ssh://b', via: host}}}\n  c: {address: 'ssh://c'}\n"
    )
    (tmp_path / "config").write_text("Host c\nProxyJump d,e\nHost e\nConnectTimeout 7\n")
    inventory = load_inventory(tmp_path / "fleet.yaml")
    settings = Settings(probe_timeout=30, ssh_config=tmp_path / "config")
    connections = Connections(inventory, settings)
    limits = {target.name: connections.time_limit([target], 1) for target in inventory}
    assert limits == {"a": 10 + 130, "b": 20 + 130, "c": 27 + 130}
    assert connections.time_limit(inventory, 2) == 2 * (27 + 120) + 10
    assert connections.time_limit(inventory, 2, active=True) == 2 * (27 + 210) + 10
    assert connections.time_limit(inventory, 2, digests=True) == 2 * (27 + 150) + 10
