"""Targets behind jump hosts and ProxyCommands, each a real sshd."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from nested_kvm.connection import Settings, SshConnector, connect, connect_limit
from nested_kvm.errors import ConnectionFailed
from nested_kvm.inventory.address import Address
from tests.support.sshd import Sshd, SshdFactory, make_key
from tests.support.threads import threads_have_ended

pytestmark = [pytest.mark.needs("sshd"), pytest.mark.needs("accounts")]

NAMES = ("bastion", "inner", "kvm")


@dataclass
class Site:
    """Machines that lead to one another; only they know the names of the next."""

    machines: dict[str, Sshd]
    directory: Path

    def settings(self, *config: str, known: str | None = None) -> Settings:
        """Return settings of a user who knows all of them, each under its own name and with its own key."""
        known_hosts = self.directory / "known_hosts"
        known_hosts.write_text(
            "".join(each.known_hosts() for each in self.machines.values()) if known is None else known
        )
        lines = list(config)
        for name, machine in self.machines.items():
            lines += [f"Host {name}", "HostName 127.0.0.1", f"Port {machine.port}"]
            lines += [f"User {machine.user}", f"IdentityFile {machine.identity}"]
        lines += ["Host *", f"UserKnownHostsFile {known_hosts}", "GlobalKnownHostsFile none", "IdentitiesOnly yes"]
        path = self.directory / "config"
        path.write_text("".join(f"{line}\n" for line in lines))
        return Settings(connect_timeout=60.0, probe_timeout=10.0, ssh_config=path)

    @property
    def logins(self) -> list[int]:
        return [machine.logins for machine in self.machines.values()]


@pytest.fixture(scope="module")
def machines(start_sshd: SshdFactory) -> dict[str, Sshd]:
    return {name: start_sshd(settings=["MaxStartups 100"]) for name in NAMES}


@pytest.fixture
def site(machines: dict[str, Sshd], tmp_path: Path) -> Site:
    return Site(machines, tmp_path)


@pytest.fixture
def grown(site: Site) -> Callable[[], list[int]]:
    """Tell how many logins each machine has had since the test began."""
    before = site.logins
    return lambda: [now - then for now, then in zip(site.logins, before, strict=True)]


KVM = Address.parse("ssh://kvm")
BY_BASTION = ("Host kvm", "ProxyJump bastion")


def answer(settings: Settings, address: Address = KVM) -> bytes:
    with closing(connect(address, settings, name="kvm-a")) as connection:
        return connection.execute("echo reached").stdout


def test_a_jump_host_leads_to_the_target_and_each_is_logged_in_to(site: Site, grown: Callable[[], list[int]]) -> None:
    before = threading.enumerate()
    assert answer(site.settings(*BY_BASTION)) == b"reached\n"
    assert grown() == [1, 0, 1]
    assert threads_have_ended(before)


@pytest.mark.parametrize(
    "config",
    [("Host kvm", "ProxyJump bastion,inner"), ("Host kvm", "ProxyJump inner", "Host inner", "ProxyJump bastion")],
    ids=["a list", "the hosts' own blocks"],
)
def test_jump_hosts_form_a_chain(site: Site, grown: Callable[[], list[int]], config: tuple[str, ...]) -> None:
    assert answer(site.settings(*config)) == b"reached\n"
    assert grown() == [1, 1, 1]


def test_a_hop_may_have_a_user_and_a_port_of_its_own(site: Site, grown: Callable[[], list[int]]) -> None:
    bastion = site.machines["bastion"]
    key = f"IdentityFile {bastion.identity}"
    jump = f"ProxyJump ssh://bashful@127.0.0.1:{bastion.port}"
    settings = site.settings("Host kvm", jump, key, "Host 127.0.0.1", key)
    assert answer(settings) == b"reached\n"
    assert grown() == [1, 0, 1]
    assert "Accepted publickey for bashful" in bastion.log.read_text()


def test_many_targets_behind_one_jump_host_share_its_connection(site: Site, grown: Callable[[], list[int]]) -> None:
    settings = site.settings(*BY_BASTION)
    connector = SshConnector(settings)

    def observe(number: int) -> bytes:
        with closing(connect(KVM, settings, name=f"kvm-{number}", connector=connector)) as connection:
            return connection.execute("echo $1", str(number)).stdout

    with closing(connector), ThreadPoolExecutor(12) as pool:
        assert list(pool.map(observe, range(12))) == [f"{number}\n".encode() for number in range(12)]
    assert grown() == [1, 0, 12]


def test_what_an_address_says_is_for_its_target_and_the_way_is_that_of_its_ssh_config(
    site: Site, grown: Callable[[], list[int]]
) -> None:
    """The key would not let in at the jump host, and the run's own ssh_config knows of none."""
    file = site.settings(*BY_BASTION).ssh_config
    none = site.directory / "empty"
    none.write_text("")
    settings = Settings(connect_timeout=60.0, probe_timeout=10.0, ssh_config=none)
    key = site.machines["kvm"].identity
    plain = f"ssh://kvm?ssh_config={file}"
    connector = SshConnector(settings)
    with closing(connector):
        for spec in (plain, f"{plain}&ssh_identity_file={key}&timeout=9"):
            with closing(connect(Address.parse(spec), settings, name="kvm-a", connector=connector)) as connection:
                assert connection.execute("echo reached").stdout == b"reached\n"
    assert grown() == [1, 0, 2]
    assert connect_limit(Address.parse(f"{plain}&timeout=9"), settings) == 60.0 + 9.0


def test_each_hop_must_be_known_under_its_own_name(site: Site, grown: Callable[[], list[int]]) -> None:
    known = site.machines["kvm"].known_hosts() + site.machines["inner"].known_hosts()
    with pytest.raises(
        ConnectionFailed, match=r"^kvm-a .*: unreachable: jump host bastion .* is unknown\. .* accept it with: echo "
    ):
        answer(site.settings(*BY_BASTION, known=known))
    assert grown() == [0, 0, 0]


def test_a_jump_host_does_not_vouch_for_the_target(site: Site, grown: Callable[[], list[int]]) -> None:
    impostor = site.machines["kvm"].known_name
    known = site.machines["bastion"].known_hosts() + site.machines["bastion"].known_hosts(impostor)
    with pytest.raises(ConnectionFailed, match=r"^kvm-a .*: its host key .* is not the one in"):
        answer(site.settings(*BY_BASTION, known=known))
    assert grown() == [1, 0, 0]


def test_a_jump_host_that_refuses_the_key_is_named(site: Site) -> None:
    other = make_key(site.directory / "other")
    settings = site.settings("Host kvm", "ProxyJump stranger@bastion,inner", "Host bastion", f"IdentityFile {other}")
    with pytest.raises(ConnectionFailed, match=r"unreachable: jump host bastion .* every key of user stranger"):
        answer(settings)


def test_jump_hosts_that_lead_in_a_circle_are_an_error(site: Site) -> None:
    settings = site.settings(
        "Host kvm", "ProxyJump inner", "Host inner", "ProxyJump bastion", "Host bastion", "ProxyJump inner"
    )
    with pytest.raises(ConnectionFailed, match="its jump hosts form a loop: kvm → inner → bastion → inner"):
        answer(settings)


def test_a_jump_host_that_is_none_is_an_error(site: Site) -> None:
    with pytest.raises(ConnectionFailed, match=r"its ProxyJump: '-oProxyCommand=x' is not an address"):
        answer(site.settings("Host kvm", "ProxyJump -oProxyCommand=x"))
