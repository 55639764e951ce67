"""Guests through the L0's own connection. Two L0s have a guest each with one and the same address."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from nested_kvm.connection import Settings, connect
from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.errors import ConnectionFailed, HostKeyRejected, LimitExceeded
from nested_kvm.inventory.address import Address
from tests.support.sshd import Sshd, SshdFactory, free_port
from tests.support.threads import threads_have_ended

pytestmark = [pytest.mark.needs("sshd"), pytest.mark.needs("accounts")]

GUEST_NAMES = [f"ci-{number}" for number in range(5)]


@dataclass
class Fleet:
    hosts: tuple[Sshd, Sshd]
    guests: tuple[Sshd, Sshd]
    directory: Path

    @property
    def address(self) -> Address:
        """Both guests' address: each host leads to another machine."""
        return Address.parse(f"ssh://plain@guest.lan:{self.guests[0].port}")

    def settings(self, known_hosts: str = "", config: str = "") -> Settings:
        known = self.directory / "known_hosts"
        known.write_text("".join(host.known_hosts() for host in self.hosts) + known_hosts)
        keys = "".join(f"IdentityFile {machine.identity}\n" for machine in (*self.hosts, *self.guests))
        path = self.directory / "config"
        path.write_text(f"{config}\nUserKnownHostsFile {known}\nIdentitiesOnly yes\n{keys}")
        return Settings(connect_timeout=60.0, probe_timeout=10.0, ssh_config=path)

    def host(self, settings: Settings, index: int = 0) -> SshConnection:
        connection = connect(self.hosts[index].address(), settings, name=f"kvm-{index}")
        assert isinstance(connection, SshConnection)
        return connection


@pytest.fixture(scope="module")
def fleet(start_sshd: SshdFactory, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    port = free_port()
    many = ["MaxStartups 200"]
    first, second = (start_sshd(host=host, port=port, settings=many) for host in ("127.0.0.2", "127.0.0.3"))
    hosts = (start_sshd(hosts=["127.0.0.2 guest.lan"]), start_sshd(hosts=["127.0.0.3 guest.lan"]))
    return Fleet(hosts, (first, second), tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def host(fleet: Fleet) -> Iterator[SshConnection]:
    with closing(fleet.host(fleet.settings(fleet.guests[0].known_hosts(*GUEST_NAMES)))) as host:
        yield host


def test_five_guests_at_once_are_one_login_on_the_host(fleet: Fleet) -> None:
    settings = fleet.settings(fleet.guests[0].known_hosts(*GUEST_NAMES))
    before = fleet.hosts[0].logins, fleet.hosts[0].executions, fleet.guests[0].logins

    def observe(host: SshConnection, name: str) -> bytes:
        with closing(connect(fleet.address, settings, name=name, via=host)) as guest:
            return guest.execute("echo $1", name).stdout

    with closing(fleet.host(settings)) as host, ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(partial(observe, host), GUEST_NAMES))
    assert answers == [f"{name}\n".encode() for name in GUEST_NAMES]
    after = fleet.hosts[0].logins, fleet.hosts[0].executions, fleet.guests[0].logins
    assert after == (before[0] + 1, before[1], before[2] + 5)


def test_guests_that_come_and_go_do_not_break_the_hosts_connection(fleet: Fleet) -> None:
    names = [f"vm-{number}" for number in range(90)]
    settings = fleet.settings(fleet.guests[0].known_hosts(*names))
    script = "head -c 100000 /dev/zero; echo $1"

    def observe(host: SshConnection, name: str) -> bytes:
        with closing(connect(fleet.address, settings, name=name, via=host)) as guest:
            return guest.execute(script, name).stdout[100_000:]

    logins = fleet.hosts[0].logins
    with closing(fleet.host(settings)) as host, ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(partial(observe, host), names))
    assert answers == [f"{name}\n".encode() for name in names]
    assert fleet.hosts[0].logins == logins + 1


def test_guests_with_one_address_are_told_apart_by_their_names(fleet: Fleet) -> None:
    first, second = fleet.guests
    settings = fleet.settings(first.known_hosts("ci-1") + second.known_hosts("web-1"))
    logins = first.logins, second.logins
    with ExitStack() as stack:
        hosts = [stack.enter_context(closing(fleet.host(settings, index))) for index in range(2)]
        for name, host in zip(("ci-1", "web-1"), hosts, strict=True):
            stack.enter_context(closing(connect(fleet.address, settings, name=name, via=host)))
        assert (first.logins, second.logins) == (logins[0] + 1, logins[1] + 1)
        with pytest.raises(HostKeyRejected, match=r"web-1 \(guest.lan port \d+\): its host key .* is not the one in"):
            connect(fleet.address, settings, name="web-1", via=hosts[0])


def test_the_name_goes_before_the_address(fleet: Fleet) -> None:
    first, second = fleet.guests
    address = f"[guest.lan]:{first.port}"
    settings = fleet.settings(second.known_hosts("ci-1") + first.known_hosts(address))
    with closing(fleet.host(settings)) as host:
        connect(fleet.address, settings, name="ci-2", via=host).close()
        with pytest.raises(HostKeyRejected, match="is not the one in"):
            connect(fleet.address, settings, name="ci-1", via=host)


def test_an_unknown_guest_is_refused_with_a_line_under_its_name(fleet: Fleet, host: SshConnection) -> None:
    with pytest.raises(HostKeyRejected, match=r"is unknown\..* echo 'ci-9 ssh-ed25519 "):
        connect(fleet.address, fleet.settings(), name="ci-9", via=host)


def test_host_key_alias_goes_before_the_name(fleet: Fleet) -> None:
    settings = fleet.settings(
        fleet.guests[0].known_hosts("alias") + fleet.guests[1].known_hosts("ci-1"),
        "Host guest.lan\nHostKeyAlias alias\nHost *",
    )
    with (
        closing(fleet.host(settings)) as host,
        closing(connect(fleet.address, settings, name="ci-1", via=host)) as guest,
    ):
        assert guest.execute("echo reached").stdout == b"reached\n"


def test_the_inventorys_way_goes_before_a_proxy_of_the_config(fleet: Fleet) -> None:
    known = fleet.guests[0].known_hosts("ci-1")
    settings = fleet.settings(known, "Host guest.lan\nProxyJump elsewhere\nHost *")
    with (
        closing(fleet.host(settings)) as host,
        closing(connect(fleet.address, settings, name="ci-1", via=host)) as guest,
    ):
        assert guest.execute("echo reached").stdout == b"reached\n"


def test_a_guest_that_is_down_is_an_error_that_names_the_way(fleet: Fleet, host: SshConnection) -> None:
    address = Address.parse(f"ssh://plain@guest.lan:{free_port()}")
    with pytest.raises(
        ConnectionFailed, match=r"ci-0 \(guest.lan port \d+\): kvm-0 does not forward the connection \(Connect failed\)"
    ):
        connect(address, fleet.settings(), name="ci-0", via=host)
    assert host.execute("echo alive").stdout == b"alive\n"


def test_a_host_that_forwards_nothing_is_named(start_sshd: SshdFactory, fleet: Fleet) -> None:
    locked = start_sshd(settings=["AllowTcpForwarding no"])
    with (
        closing(connect(locked.address(), locked.client(), name="kvm-9")) as host,
        pytest.raises(
            ConnectionFailed, match=r"kvm-9 does not forward the connection .*[Aa]dministratively prohibited"
        ),
    ):
        connect(fleet.address, fleet.settings(), name="ci-0", via=host)


def test_a_guest_that_hangs_costs_neither_the_host_nor_another_guest(fleet: Fleet, host: SshConnection) -> None:
    settings = fleet.settings(fleet.guests[0].known_hosts(*GUEST_NAMES))
    impatient = replace(settings, probe_timeout=0.5)
    with closing(connect(fleet.address, settings, name="ci-1", via=host)) as healthy:
        guest = connect(fleet.address, impatient, name="ci-0", via=host)
        with closing(guest), pytest.raises(LimitExceeded, match="ci-0: no complete answer"):
            guest.execute("exec sleep 100")
        assert healthy.execute("echo alive").stdout == b"alive\n"
    assert host.execute("echo alive").stdout == b"alive\n"


def test_a_host_that_hangs_does_not_cost_its_guests(fleet: Fleet) -> None:
    settings = fleet.settings(fleet.guests[0].known_hosts(*GUEST_NAMES))
    with closing(fleet.host(replace(settings, probe_timeout=0.5))) as host:
        with pytest.raises(LimitExceeded):
            host.execute("exec sleep 100")
        with closing(connect(fleet.address, settings, name="ci-0", via=host)) as guest:
            assert guest.execute("echo alive").stdout == b"alive\n"


def test_a_host_that_is_gone_takes_its_guests_along(fleet: Fleet, host: SshConnection) -> None:
    settings = fleet.settings(fleet.guests[0].known_hosts(*GUEST_NAMES))
    with closing(connect(fleet.address, settings, name="ci-0", via=host)) as guest:
        threading.Timer(0.3, host.close).start()
        with pytest.raises(ConnectionFailed, match="ci-0: ") as caught:
            guest.execute("echo one section; exec sleep 100")
    assert caught.value.partial == b"one section\n"


def test_nothing_is_left_of_a_guests_connection(fleet: Fleet, host: SshConnection) -> None:
    before = threading.enumerate()
    settings = fleet.settings(fleet.guests[0].known_hosts(*GUEST_NAMES))
    connect(fleet.address, settings, name="ci-0", via=host).close()
    assert threads_have_ended(before)
    until = time.monotonic() + 2  # the far end closes a channel too, in its own time
    while "1 open channel" in repr(host._transport) and time.monotonic() < until:
        time.sleep(0.01)
    assert "0 open channel" in repr(host._transport)
