"""Logging in with certificates, from files and from an agent, at an sshd that trusts only their authority."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from nested_kvm.connection import Settings, connect
from nested_kvm.errors import LoginRejected
from tests.support.sshd import Sshd, SshdFactory, make_key

pytestmark = pytest.mark.needs("sshd")


@dataclass
class Authority:
    """Whoever makes certificates, and a machine that lets in who has one."""

    key: Path
    sshd: Sshd

    def sign(self, key: Path, *, principals: str | None = None) -> Path:
        """Make a certificate, and return where it is."""
        names = principals or self.sshd.user
        subprocess.run(["ssh-keygen", "-q", "-s", self.key, "-I", "id", "-n", names, f"{key}.pub"], check=True)
        return Path(f"{key}-cert.pub")

    def settings(self, *config: str) -> Settings:
        """Return settings of a user who knows the machine, and has what the lines of the config give."""
        known = self.sshd.directory / "known_hosts"
        known.write_text(self.sshd.known_hosts())
        path = self.sshd.directory / "config"
        path.write_text("".join(f"{line}\n" for line in (*config, f"UserKnownHostsFile {known}")))
        return Settings(connect_timeout=60.0, probe_timeout=10.0, ssh_config=path)


@pytest.fixture(scope="module")
def authority(start_sshd: SshdFactory, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key = make_key(tmp_path_factory.mktemp("authority") / "key")
    sshd = start_sshd(settings=[f"TrustedUserCAKeys {key}.pub"])
    sshd.authorize()
    return Authority(key, sshd)


def user(authority: Authority, *config: str) -> bytes:
    with closing(connect(authority.sshd.address(), authority.settings(*config), name="kvm-a")) as connection:
        return connection.execute("id -un").stdout.strip()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_beside_an_identity_lets_in(authority: Authority, tmp_path: Path, kind: str) -> None:
    key = make_key(tmp_path / "key", kind)
    config = [f"IdentityFile {key}", "IdentitiesOnly yes"]
    with pytest.raises(LoginRejected):
        user(authority, *config)
    authority.sign(key)
    assert user(authority, *config) == authority.sshd.user.encode()


def test_the_config_may_name_the_certificate(authority: Authority, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    elsewhere = shutil.move(authority.sign(key), tmp_path / "elsewhere.pub")
    assert user(authority, f"IdentityFile {key}", f"CertificateFile {elsewhere}") == authority.sshd.user.encode()


def test_the_key_itself_is_offered_too(authority: Authority, start_sshd: SshdFactory) -> None:
    sshd = start_sshd()
    authority.sign(sshd.identity)
    with closing(connect(sshd.address(), sshd.client(), name="kvm-a")) as connection:
        assert connection.execute("echo in").stdout == b"in\n"


def test_a_certificate_for_somebody_else_is_named_in_the_refusal(authority: Authority, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    authority.sign(key, principals="somebody-else")
    with pytest.raises(LoginRejected, match=r"the certificate of ssh-ed25519 SHA256:.*, ssh-ed25519 SHA256:"):
        user(authority, f"IdentityFile {key}", "IdentitiesOnly yes")


@pytest.mark.parametrize(("text", "reason"), [("no certificate", "it is not a certificate"), (None, "cannot be read")])
def test_a_certificate_that_is_none_is_named_in_the_refusal(
    authority: Authority, tmp_path: Path, text: str | None, reason: str
) -> None:
    key, file = make_key(tmp_path / "key"), tmp_path / "certificate"
    if text is not None:
        file.write_text(text)
    with pytest.raises(LoginRejected, match=f"the certificate {file} .*{reason}"):
        user(authority, f"IdentityFile {key}", f"CertificateFile {file}", "IdentitiesOnly yes")


class TestAgent:
    """An agent holds a key whose file is gone."""

    pytestmark = pytest.mark.needs("ssh-agent")

    @pytest.fixture
    def agent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        path = tmp_path / "socket"
        with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
            yield path
            agent.terminate()

    @staticmethod
    def move_into_agent(key: Path) -> None:
        add = ["sh", "-c", 'until ssh-add -q "$1" 2>/dev/null; do sleep 0.02; done', "sh", str(key)]
        subprocess.run(add, env=os.environ, check=True, timeout=300)
        key.unlink()

    @pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
    @pytest.mark.usefixtures("agent")
    def test_its_certificates_let_in(self, authority: Authority, tmp_path: Path, kind: str) -> None:
        key = make_key(tmp_path / "key", kind)
        certificate = authority.sign(key)
        self.move_into_agent(key)
        certificate.unlink()
        assert user(authority) == authority.sshd.user.encode()

    @pytest.mark.usefixtures("agent")
    def test_its_key_signs_for_a_certificate_in_a_file(self, authority: Authority, tmp_path: Path) -> None:
        key = make_key(tmp_path / "key")
        self.move_into_agent(key)
        config = [f"IdentityFile {key}", "IdentitiesOnly yes"]
        with pytest.raises(LoginRejected):
            user(authority, *config)
        authority.sign(key)
        assert user(authority, *config) == authority.sshd.user.encode()

    @pytest.mark.usefixtures("agent")
    def test_identities_only_leaves_the_keys_that_files_name(self, sshd: Sshd, tmp_path: Path) -> None:
        """The agent offers first a key that the machine refuses for good: it takes one try only."""
        named, other = make_key(tmp_path / "named"), make_key(tmp_path / "other")
        sshd.authorize(named)
        for key in (other, named):
            self.move_into_agent(key)
        known = tmp_path / "known_hosts"
        known.write_text(sshd.known_hosts())
        config = tmp_path / "config"
        only = f"IdentitiesOnly yes\nUserKnownHostsFile {known}\nIdentityFile "
        config.write_text(f"{only}{named}.pub\n")
        connect(sshd.address(), Settings(ssh_config=config), name="kvm-a").close()
        config.write_text(f"{only}{other}.pub\n")
        with pytest.raises(LoginRejected):
            connect(sshd.address(), Settings(ssh_config=config), name="kvm-a")
