"""Hosts that prove themselves by a certificate, as sshd shows it; `@cert-authority` lines say whose counts."""

import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from nested_kvm.connection import connect
from nested_kvm.connection.ssh.certificate import Certificate, CertificateUnusableError
from nested_kvm.connection.ssh.config import SshConfig
from nested_kvm.connection.ssh.host_key_check import Trust
from nested_kvm.errors import HostKeyRejected
from tests.support.sshd import Sshd, SshdFactory, make_key, public

pytestmark = pytest.mark.needs("sshd")

VALID = ("-h", "-n", "127.0.0.1")


@dataclass
class Authority:
    """Whoever makes certificates."""

    key: Path

    def line(self, names: str = "*", marker: str = "@cert-authority") -> str:
        return f"{marker} {names} {public(self.key)}\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(make_key(tmp_path_factory.mktemp("authority") / "key"))


Certified = Callable[..., Sshd]


@pytest.fixture(scope="module")
def certified(start_sshd: SshdFactory, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """Start a machine that shows a certificate, made with ssh-keygen's options; the same one for the same options."""
    started: dict[tuple[object, ...], Sshd] = {}

    def certified(*options: str, kind: str = "ed25519", by: Path = authority.key) -> Sshd:
        if (options, kind, by) not in started:
            key = make_key(tmp_path_factory.mktemp("host") / "key", kind)
            subprocess.run(["ssh-keygen", "-q", "-s", by, "-I", "id", *options, f"{key}.pub"], check=True)
            shown = [f"HostKey {key}", f"HostCertificate {key}-cert.pub"]
            started[options, kind, by] = start_sshd(host_keys=(), settings=shown)
            started[options, kind, by].keys.append(key)
        return started[options, kind, by]

    return certified


def is_trusted(sshd: Sshd, known_hosts: str, *config: str) -> bool:
    with closing(connect(sshd.address(), sshd.client(known_hosts=known_hosts, config=config), name="kvm-a")) as reached:
        return reached.execute("echo here").stdout == b"here\n"


def refusal(sshd: Sshd, known_hosts: str, *config: str) -> str:
    with pytest.raises(HostKeyRejected) as caught:
        connect(sshd.address(), sshd.client(known_hosts=known_hosts, config=config), name="kvm-a")
    return str(caught.value)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_of_a_known_authority_is_trusted(certified: Certified, authority: Authority, kind: str) -> None:
    assert is_trusted(certified(*VALID, kind=kind), authority.line())


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_an_authority_may_have_any_kind_of_key(certified: Certified, tmp_path: Path, kind: str) -> None:
    other = Authority(make_key(tmp_path / "authority", kind))
    assert is_trusted(certified(*VALID, by=other.key), other.line())


@pytest.mark.parametrize("names", ["[127.0.0.1]:{port}", "[127.0.0.1]:*", "127.0.0.1", "127.0.*,!127.0.0.2"])
def test_the_line_must_speak_of_the_host(certified: Certified, authority: Authority, names: str) -> None:
    sshd = certified(*VALID)
    assert is_trusted(sshd, authority.line(names.format(port=sshd.port)))


def test_an_authority_for_other_hosts_does_not_count(certified: Certified, authority: Authority) -> None:
    sshd = certified(*VALID)
    for names in ("*.example.net", "*,!127.0.0.1,![127.0.0.1]:*"):
        assert "is unknown. Once" in refusal(sshd, authority.line(names))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("-h", "-n", "elsewhere,*.example.net"), "it is issued for elsewhere, *.example.net, not for 127.0.0.1"),
        (("-h",), "it is issued for no one, not for 127.0.0.1"),
        (("-n", "127.0.0.1"), "it is a user certificate, not a host certificate"),
        ((*VALID, "-V", "20200101:20200102"), "it is valid only from 20"),
        ((*VALID, "-V", "+10d:+20d"), "it is valid only from 20"),
    ],
    ids=["another name", "no name", "a user's", "expired", "not yet"],
)
def test_a_certificate_must_be_for_this_host_and_for_today(
    certified: Certified, authority: Authority, options: Sequence[str], reason: str
) -> None:
    text = refusal(certified(*options), authority.line())
    assert f"Its certificate is not accepted: {reason}" in text
    assert "accept it with: echo '[127.0.0.1]:" in text


@pytest.mark.parametrize("pattern", ["127.0.0.?", "127.*"])
def test_a_name_in_a_certificate_may_be_a_pattern(certified: Certified, authority: Authority, pattern: str) -> None:
    assert is_trusted(certified("-h", "-n", pattern), authority.line())


def test_another_authority_does_not_vouch(certified: Certified, tmp_path: Path) -> None:
    other = Authority(make_key(tmp_path / "other"))
    assert "is not accepted: its authority is unknown" in refusal(certified(*VALID), other.line())


def test_a_key_that_is_known_needs_no_certificate(certified: Certified, authority: Authority, tmp_path: Path) -> None:
    expired = certified(*VALID, "-V", "20200101:20200102")
    other = Authority(make_key(tmp_path / "other"))
    assert is_trusted(expired, expired.known_hosts())
    assert is_trusted(expired, authority.line() + expired.known_hosts())
    assert is_trusted(expired, other.line() + expired.known_hosts())


def test_a_certificate_stands_against_a_key_that_was_replaced(
    certified: Certified, authority: Authority, tmp_path: Path
) -> None:
    sshd = certified(*VALID)
    stale = f"{sshd.known_name} {public(make_key(tmp_path / 'stale'))}\n"
    assert is_trusted(sshd, stale + authority.line())
    assert "is not the one in" in refusal(sshd, stale)


def test_a_revoked_authority_or_key_is_refused(certified: Certified, authority: Authority) -> None:
    sshd = certified(*VALID)
    by_authority = refusal(sshd, authority.line() + authority.line(marker="@revoked"), "StrictHostKeyChecking no")
    assert "the authority of its host key ssh-ed25519 SHA256:" in by_authority
    assert "is revoked by" in by_authority
    by_key = refusal(sshd, f"{authority.line()}@revoked * {public(sshd.keys[0])}\n", "StrictHostKeyChecking no")
    assert "its host key ssh-ed25519 SHA256:" in by_key


def test_host_key_alias_is_the_name_that_a_certificate_must_have(certified: Certified, authority: Authority) -> None:
    assert is_trusted(certified("-h", "-n", "rack-7"), authority.line("rack-*"), "HostKeyAlias rack-7")
    assert "issued for rack-7, not for rack-8" in refusal(
        certified("-h", "-n", "rack-7"), authority.line("rack-*"), "HostKeyAlias rack-8"
    )


def test_openssh_agrees(certified: Certified, authority: Authority) -> None:
    """The same known_hosts lets OpenSSH's own client in, or not."""
    for options, trusted in ((VALID, True), (("-h", "-n", "elsewhere"), False)):
        sshd = certified(*options)
        sshd.client(known_hosts=authority.line())
        command = ["ssh", "-F", str(sshd.directory / "config"), "-o", "BatchMode=yes", "-p", str(sshd.port)]
        command += [f"{sshd.user}@127.0.0.1", "true"]
        assert (subprocess.run(command, check=False, capture_output=True).returncode == 0) is trusted


def test_a_forged_signature_and_sha_1_do_not_count(tmp_path: Path) -> None:
    rsa = make_key(tmp_path / "authority", "rsa")
    host = make_key(tmp_path / "host")
    for algorithm, last_byte, reason in (
        ("rsa-sha2-512", 0, None),
        ("rsa-sha2-512", 1, "its signature is wrong"),
        ("ssh-rsa", 0, "it is signed with SHA-1"),
    ):
        sign = ["ssh-keygen", "-q", "-s", str(rsa), "-t", algorithm, "-I", "id", "-h", "-n", "kvm-a", f"{host}.pub"]
        subprocess.run(sign, check=True)
        shown = Certificate.from_file(Path(f"{host}-cert.pub"))
        forged = Certificate.from_blob(shown.key_type, shown.blob[:-1] + bytes([shown.blob[-1] ^ last_byte]))
        if reason is None:
            forged.check_host(shown.key, ["kvm-a"], is_authority_known=True)
            continue
        with pytest.raises(CertificateUnusableError, match=reason):
            forged.check_host(shown.key, ["kvm-a"], is_authority_known=True)


def test_a_certificate_for_another_key_does_not_count(tmp_path: Path, authority: Authority) -> None:
    keys = [make_key(tmp_path / name) for name in ("one", "two")]
    for key in keys:
        subprocess.run(["ssh-keygen", "-q", "-s", authority.key, "-I", "id", *VALID, f"{key}.pub"], check=True)
    one, two = (Certificate.from_file(Path(f"{key}-cert.pub")) for key in keys)
    with pytest.raises(CertificateUnusableError, match="it is for another key"):
        one.check_host(two.key, ["127.0.0.1"], is_authority_known=True)


def test_a_key_under_the_inventorys_name_goes_before_an_authority(tmp_path: Path, authority: Authority) -> None:
    """Guests of many hosts share an address, which a certificate may be made for."""
    known, config = tmp_path / "known_hosts", tmp_path / "config"
    known.write_text(authority.line() + f"ci-1 {public(authority.key)}\n")
    config.write_text(f"UserKnownHostsFile {known}\nGlobalKnownHostsFile none\n")
    options = SshConfig.load(config).lookup("192.168.122.11")
    assert Trust.of(options, 22, inventory_name="ci-1").authorities == []
    assert len(Trust.of(options, 22, inventory_name="ci-2").authorities) == 2
