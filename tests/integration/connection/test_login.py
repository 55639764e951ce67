import getpass
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nested_kvm.connection import Settings, check_settings, connect
from nested_kvm.errors import LoginRejected, UsageError
from nested_kvm.inventory.address import Address
from tests.support.sshd import Sshd, SshdFactory, make_key

pytestmark = pytest.mark.needs("sshd")

Client = Callable[..., Settings]


@pytest.fixture
def client(sshd: Sshd, tmp_path: Path) -> Client:
    """Settings of a user who knows the machine, and has what the lines of the config give."""

    def client(*lines: str, **settings: object) -> Settings:
        known = tmp_path / "known_hosts"
        known.write_text(sshd.known_hosts("anything") + sshd.known_hosts())
        path = tmp_path / "config"
        path.write_text("".join(f"{line}\n" for line in [*lines, f"UserKnownHostsFile {known}"]))
        return Settings(ssh_config=path, **settings)  # type: ignore[arg-type]  # a test's own settings

    return client


@pytest.fixture
def other_key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "other")


def answer(sshd: Sshd, settings: Settings, address: Address | None = None) -> bytes:
    with closing(connect(address or sshd.address(), settings, name="kvm-a")) as connection:
        return connection.execute("id -un").stdout.strip()


def test_every_identity_file_is_tried(sshd: Sshd, client: Client, other_key: Path, tmp_path: Path) -> None:
    rsa = make_key(tmp_path / "rsa", "rsa")
    files = [other_key, tmp_path / "absent", rsa, sshd.identity]
    settings = client("IdentitiesOnly yes", *(f"IdentityFile {file}" for file in files))
    assert answer(sshd, settings) == sshd.user.encode()


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_other_kinds_of_keys_log_in_too(start_sshd: SshdFactory, tmp_path: Path, kind: str) -> None:
    key = make_key(tmp_path / kind, kind)
    sshd = start_sshd()
    sshd.authorize(key)
    assert answer(sshd, sshd.client(config=[f"IdentityFile {key}"])) == sshd.user.encode()


def test_the_option_replaces_identity_files(sshd: Sshd, client: Client, other_key: Path) -> None:
    lines = ["IdentitiesOnly yes", f"IdentityFile {other_key}"]
    assert answer(sshd, client(*lines, ssh_identity_file=sshd.identity)) == sshd.user.encode()
    with pytest.raises(LoginRejected):
        answer(sshd, client("IdentitiesOnly yes", f"IdentityFile {sshd.identity}", ssh_identity_file=other_key))


def test_a_refusal_names_the_host_the_user_the_keys_and_what_to_do(
    sshd: Sshd, client: Client, other_key: Path, tmp_path: Path
) -> None:
    encrypted = make_key(tmp_path / "encrypted", passphrase="a secret")  # noqa: S106  # of a key for this test alone
    garbage = tmp_path / "garbage"
    garbage.write_text("no key")
    files = [other_key, tmp_path / "absent", encrypted, garbage, f"{sshd.identity}.pub", garbage / "below"]
    settings = client("IdentitiesOnly yes", *(f"IdentityFile {file}" for file in files))
    with pytest.raises(LoginRejected) as caught:
        connect(sshd.address(), settings, name="kvm-a")
    text = str(caught.value)
    assert text.startswith(
        f"kvm-a ({sshd.host} port {sshd.port}): it refuses every key of user {sshd.user}: ssh-ed25519 "
    )
    assert f"{tmp_path}/absent does not exist" in text
    assert f"{encrypted} is encrypted: load it into an agent by ssh-add" in text
    assert f"{garbage} is not a private key" in text
    assert f"{sshd.identity}.pub is not a private key" in text
    assert f"{garbage}/below cannot be read (Not a directory)" in text
    assert text.endswith("or name another by --ssh-identity-file")


def test_a_wrong_user_is_a_refusal(sshd: Sshd) -> None:
    with pytest.raises(LoginRejected, match="every key of user nobody-there"):
        connect(sshd.address("nobody-there"), sshd.client(), name="kvm-a")


def test_without_any_key_nothing_is_offered(sshd: Sshd, client: Client, tmp_path: Path) -> None:
    settings = client("IdentitiesOnly yes", f"IdentityFile {tmp_path}/absent")
    with pytest.raises(LoginRejected, match="there is no key to log in with"):
        connect(sshd.address(), settings, name="kvm-a")


def test_a_host_that_hangs_up_after_too_many_keys_says_what_to_do(start_sshd: SshdFactory, tmp_path: Path) -> None:
    sshd = start_sshd(settings=["MaxAuthTries 2"])
    keys = [make_key(tmp_path / str(number)) for number in range(4)]
    with pytest.raises(LoginRejected, match="name the right one by IdentityFile"):
        answer(sshd, sshd.client(config=[f"IdentityFile {key}" for key in keys]))


def test_a_host_that_wants_more_than_a_key_is_a_refusal(start_sshd: SshdFactory) -> None:
    settings = ["PasswordAuthentication yes", "AuthenticationMethods publickey,password"]
    sshd = start_sshd(settings=settings)
    with pytest.raises(LoginRejected, match=r"a key alone does not let .* in: it wants password"):
        answer(sshd, sshd.client())


def test_a_host_that_takes_no_keys_is_a_refusal(start_sshd: SshdFactory) -> None:
    sshd = start_sshd(settings=["PasswordAuthentication yes", "PubkeyAuthentication no"])
    with pytest.raises(LoginRejected, match="it wants password"):
        answer(sshd, sshd.client())


def test_user_port_and_name_come_from_the_config_unless_the_address_has_them(sshd: Sshd, client: Client) -> None:
    lines = [f"IdentityFile {sshd.identity}", "IdentitiesOnly yes", f"HostName {sshd.host}"]
    configured = client(*lines, f"User {sshd.user}", f"Port {sshd.port}")
    assert answer(sshd, configured, Address.parse("ssh://kvm-a")) == sshd.user.encode()
    overruled = client(*lines, "User nobody-there", "Port 1")
    assert answer(sshd, overruled, Address.parse(f"ssh://{sshd.user}@kvm-a:{sshd.port}")) == sshd.user.encode()


def test_without_any_user_it_is_the_one_who_runs_this(sshd: Sshd, client: Client) -> None:
    settings = client(f"IdentityFile {sshd.identity}", "IdentitiesOnly yes")
    address = Address.parse(f"ssh://{sshd.host}:{sshd.port}")
    assert answer(sshd, settings, address) == getpass.getuser().encode()


@pytest.fixture(scope="module")
def socket(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An agent's socket; it holds the key that the machine lets in."""
    path = tmp_path_factory.mktemp("agent") / "socket"
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as agent:
        environment = os.environ | {"SSH_AUTH_SOCK": str(path)}
        add = ["sh", "-c", 'until ssh-add -q "$1" 2>/dev/null; do sleep 0.02; done', "sh", str(sshd.identity)]
        subprocess.run(add, env=environment, check=True, timeout=300)
        yield path
        agent.terminate()


class TestAgent:
    pytestmark = pytest.mark.needs("ssh-agent")

    def test_its_keys_are_offered(
        self, sshd: Sshd, client: Client, socket: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        assert answer(sshd, client()) == sshd.user.encode()

    def test_the_config_may_name_it(
        self, sshd: Sshd, client: Client, socket: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        assert answer(sshd, client(f"IdentityAgent {socket}")) == sshd.user.encode()

    @pytest.mark.parametrize("line", ["IdentitiesOnly yes", "IdentityAgent none"])
    def test_the_config_may_rule_it_out(
        self, sshd: Sshd, client: Client, socket: Path, monkeypatch: pytest.MonkeyPatch, line: str
    ) -> None:
        other_key = make_key(socket.with_name(line.partition(" ")[0]))
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        with pytest.raises(LoginRejected):
            answer(sshd, client(line, f"IdentityFile {other_key}"))

    def test_one_that_is_gone_is_named_in_the_error(
        self, sshd: Sshd, client: Client, other_key: Path, tmp_path: Path
    ) -> None:
        settings = client(f"IdentityAgent {tmp_path}/gone", f"IdentityFile {other_key}")
        with pytest.raises(LoginRejected, match=f"the agent at {tmp_path}/gone does not answer"):
            answer(sshd, settings)


@pytest.mark.parametrize(("content", "reason"), [(None, "does not exist"), ("no key", "is not a private key")])
def test_an_identity_file_that_is_none_is_found_before_the_start(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    file = tmp_path / "identity"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=f"--ssh-identity-file: {file} {reason}"):
        check_settings(Settings(ssh_identity_file=file))
