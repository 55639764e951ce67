import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nested_kvm.connection import connect
from nested_kvm.errors import HostKeyRejected
from tests.support.sshd import Sshd, SshdFactory, make_key, public

pytestmark = pytest.mark.needs("sshd")

CARELESS = ["StrictHostKeyChecking no"]


@pytest.fixture(scope="module")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    return public(make_key(tmp_path_factory.mktemp("keys") / "other"))


@pytest.fixture
def is_trusted(sshd: Sshd) -> Callable[..., bool]:
    """Tell whether a user with these known_hosts and this config is let on; what is refused must say why."""

    def is_trusted(known_hosts: str, *config: str, because: str = "") -> bool:
        settings = sshd.client(known_hosts=known_hosts, config=config)
        if not because:
            with closing(connect(sshd.address(), settings, name="kvm-a")):
                return True
        with pytest.raises(HostKeyRejected, match=because) as caught:
            connect(sshd.address(), settings, name="kvm-a")
        assert str(caught.value).startswith(f"kvm-a ({sshd.host} port {sshd.port}): its host key ssh-ed25519 SHA256:")
        return False

    return is_trusted


def test_a_key_that_is_known_is_trusted(sshd: Sshd, is_trusted: Callable[..., bool]) -> None:
    assert is_trusted(sshd.known_hosts())


def test_an_unknown_key_is_refused_with_the_command_that_accepts_it(
    sshd: Sshd, is_trusted: Callable[..., bool]
) -> None:
    assert not is_trusted("", because="is unknown")
    with pytest.raises(HostKeyRejected) as caught:
        connect(sshd.address(), sshd.client(known_hosts=""), name="kvm-a")
    command = str(caught.value).rpartition("accept it with: ")[2]
    subprocess.run(command, shell=True, check=True)  # noqa: S602  # as the reader would
    written = (sshd.directory / "known_hosts").read_text()
    assert is_trusted(written)


def test_a_changed_key_is_refused_with_the_command_that_replaces_it(
    sshd: Sshd, other_key: str, is_trusted: Callable[..., bool]
) -> None:
    settings = sshd.client(known_hosts=f"elsewhere {other_key}\n{sshd.known_name} {other_key}\n")
    with pytest.raises(HostKeyRejected) as caught:
        connect(sshd.address(), settings, name="kvm-a")
    command = str(caught.value).rpartition("replace the old key with: ")[2]
    subprocess.run(command, shell=True, check=True, capture_output=True)  # noqa: S602  # as the reader would
    written = (sshd.directory / "known_hosts").read_text()
    assert written == f"elsewhere {other_key}\n{sshd.known_hosts()}"
    assert is_trusted(written)


@pytest.mark.parametrize("policy", ["no", "off", "No"])
def test_an_unknown_key_is_accepted_where_the_config_says_so_and_nothing_is_written(
    sshd: Sshd, is_trusted: Callable[..., bool], policy: str
) -> None:
    assert is_trusted("", f"StrictHostKeyChecking {policy}")
    assert (sshd.directory / "known_hosts").read_text() == ""


def test_accept_new_refuses_an_unknown_key_as_no_key_is_recorded(sshd: Sshd, is_trusted: Callable[..., bool]) -> None:
    because = r"is unknown\. accept-new is treated as yes, as no keys are recorded here\. Once .* accept it with: echo "
    assert not is_trusted("", "StrictHostKeyChecking accept-new", because=because)
    assert is_trusted(sshd.known_hosts(), "StrictHostKeyChecking accept-new")
    assert (sshd.directory / "known_hosts").read_text() == sshd.known_hosts()


@pytest.mark.parametrize("config", [[], CARELESS, ["StrictHostKeyChecking accept-new"]])
def test_a_changed_key_is_refused_whatever_the_config_says(
    sshd: Sshd, other_key: str, is_trusted: Callable[..., bool], config: list[str]
) -> None:
    assert not is_trusted(f"{sshd.known_name} {other_key}\n", *config, because="is not the one in .*known_hosts:1")


def test_another_type_of_key_than_the_known_one_is_a_changed_key(
    sshd: Sshd, tmp_path: Path, is_trusted: Callable[..., bool]
) -> None:
    rsa = public(make_key(tmp_path / "key", "rsa"))
    assert not is_trusted(f"{sshd.known_name} {rsa}\n", *CARELESS, because="is not the one in")


def test_a_revoked_key_is_refused_though_it_is_known(sshd: Sshd, is_trusted: Callable[..., bool]) -> None:
    revoked = f"@revoked * {public(sshd.keys[0])}\n"
    assert not is_trusted(sshd.known_hosts() + revoked, *CARELESS, because="is revoked by .*known_hosts:2")


def test_another_key_being_revoked_changes_nothing(sshd: Sshd, other_key: str, is_trusted: Callable[..., bool]) -> None:
    assert is_trusted(f"@revoked * {other_key}\n{sshd.known_hosts()}")


def test_an_authoritys_key_is_not_taken_for_a_hosts(sshd: Sshd, is_trusted: Callable[..., bool]) -> None:
    authority = f"@cert-authority * {public(sshd.keys[0])}\n"
    assert not is_trusted(authority, because="is unknown. It presents no certificate of the authority")


def test_a_hashed_entry_is_found(sshd: Sshd, tmp_path: Path, is_trusted: Callable[..., bool]) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(sshd.known_hosts())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert sshd.host not in file.read_text()
    assert is_trusted(file.read_text())


def test_a_hashed_entry_with_another_key_is_a_changed_key(
    sshd: Sshd, other_key: str, tmp_path: Path, is_trusted: Callable[..., bool]
) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{sshd.known_name} {other_key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert not is_trusted(file.read_text(), *CARELESS, because="is not the one in")


def test_host_key_alias_is_the_only_name_that_counts(
    sshd: Sshd, other_key: str, is_trusted: Callable[..., bool]
) -> None:
    known = f"{sshd.known_name} {other_key}\nrack-7 {public(sshd.keys[0])}\n"
    assert is_trusted(known, "HostKeyAlias rack-7")
    assert not is_trusted(sshd.known_hosts(), "HostKeyAlias rack-7", because="is unknown")


def test_an_entry_without_the_port_confirms_but_does_not_contradict(
    sshd: Sshd, other_key: str, is_trusted: Callable[..., bool]
) -> None:
    assert is_trusted(sshd.known_hosts(sshd.host))
    assert not is_trusted(f"{sshd.host} {other_key}\n", because="is unknown")


def test_several_files_are_read(sshd: Sshd, other_key: str, tmp_path: Path, is_trusted: Callable[..., bool]) -> None:
    (tmp_path / "first").write_text(f"elsewhere {other_key}\n")
    (tmp_path / "two words").write_text(sshd.known_hosts())
    assert is_trusted("", f'UserKnownHostsFile {tmp_path}/first "{tmp_path}/two words"')
    assert is_trusted("", f"GlobalKnownHostsFile {tmp_path}/absent '{tmp_path}/two words'")


def test_a_host_proves_itself_by_the_key_that_is_known(start_sshd: SshdFactory) -> None:
    sshd = start_sshd(host_keys=["ed25519", "ecdsa", "rsa"])
    for key in sshd.keys:
        settings = sshd.client(known_hosts=f"{sshd.known_name} {public(key)}\n")
        with closing(connect(sshd.address(), settings, name="kvm-a")) as connection:
            assert connection.execute("echo here").stdout == b"here\n"
