"""Encrypted keys: what is asked, how often, and what is said where nobody can be asked."""

import os
import pty
import re
import subprocess
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from nested_kvm.connection import Settings, check_settings, connect, unlock_keys
from nested_kvm.connection.ssh.key_file import public_half, unlock_key
from nested_kvm.errors import LoginRejected, UsageError
from tests.support.guests import PLAIN_GUEST
from tests.support.sshd import Sshd, SshdFactory, make_key, public
from tests.support.suite import ROOT, command_line, environment

pytestmark = pytest.mark.needs("sshd", "accounts")

PASSPHRASE = "a secret"  # noqa: S105  # of keys for these tests alone
PROMPT = "Passphrase of "


@pytest.fixture(scope="module")
def sshd(start_sshd: SshdFactory) -> Sshd:
    return start_sshd(prelude=PLAIN_GUEST)


@dataclass
class OnTerminal:
    """The suite, started by somebody who sits at a terminal."""

    text: str
    status: int


def run_on_terminal(*arguments: object, home: Path, answers: Sequence[str], **variables: str) -> OnTerminal:
    """Run the suite with a terminal of its own, and answer each prompt."""
    ours, its = pty.openpty()
    command = ["setsid", "--ctty", "--wait", *command_line(*arguments, report_dir=home / "reports")]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(home) | variables, stdin=its, stdout=its, stderr=its)
    os.close(its)
    waiting, text = list(answers), ""
    with suppress(OSError):  # the end of a terminal
        while data := os.read(ours, 4096):
            text += data.decode(errors="replace")
            if waiting and text.count(PROMPT) > len(answers) - len(waiting) and text.rstrip().endswith(":"):
                os.write(ours, f"{waiting.pop(0)}\n".encode())
    os.close(ours)
    return OnTerminal(text, process.wait(60))


def encrypted(sshd: Sshd, path: Path, *, form: Sequence[str] = (), kind: str = "ed25519") -> Path:
    """Make an encrypted key that the machine lets in."""
    key = make_key(path, kind, passphrase=PASSPHRASE, form=form)
    sshd.authorize(key)
    return key


def options(sshd: Sshd, key: Path, directory: Path) -> list[str]:
    known = directory / "known_hosts"
    known.write_text(sshd.known_hosts())
    config = directory / "config"
    names = "kvm-a kvm-b"
    config.write_text(
        f"Host {names}\nHostName {sshd.host}\nPort {sshd.port}\nUser {sshd.user}\nIdentityFile {key}\n"
        f"IdentitiesOnly yes\nUserKnownHostsFile {known}\n"
        f"HostKeyAlias {sshd.known_name}\n"
    )
    return [f"--ssh-config={config}", "--hosts=ssh://kvm-a,ssh://kvm-b", "--nested=forbidden"]


def test_it_is_asked_for_once_before_anything_starts(sshd: Sshd, tmp_path: Path) -> None:
    key = encrypted(sshd, tmp_path / "key")
    before = sshd.logins
    run = run_on_terminal(*options(sshd, key, tmp_path), home=tmp_path, answers=[PASSPHRASE])
    assert run.status == 0, run.text
    assert run.text.count(f"{PROMPT}{key}") == run.text.count(PROMPT) == 1
    assert sshd.logins == before + 2
    assert PASSPHRASE not in run.text


def test_a_wrong_one_is_asked_for_again_and_an_empty_one_does_without(sshd: Sshd, tmp_path: Path) -> None:
    key = encrypted(sshd, tmp_path / "key")
    run = run_on_terminal(*options(sshd, key, tmp_path), home=tmp_path, answers=["wrong", ""])
    assert run.status == 6, run.text
    assert run.text.count(PROMPT) == 2
    assert "load it into an agent by ssh-add" in " ".join(run.text.split())


def test_in_ci_nothing_is_asked(sshd: Sshd, tmp_path: Path) -> None:
    key = encrypted(sshd, tmp_path / "key")
    run = run_on_terminal(*options(sshd, key, tmp_path), home=tmp_path, answers=[], CI="true")
    assert run.status == 6
    assert PROMPT not in run.text
    assert re.search(r"is encrypted: load it into an agent by ssh-add", " ".join(run.text.split()))


def test_without_a_terminal_the_option_is_refused_at_once(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = encrypted(sshd, tmp_path / "key")
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(UsageError, match=f"--ssh-identity-file: {key} is encrypted: .* ssh-add {key} .*no terminal"):
        check_settings(Settings(ssh_identity_file=key))


def test_without_a_terminal_nothing_is_asked(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    settings = sshd.client(config=[f"IdentityFile {encrypted(sshd, tmp_path / 'key')}"])
    unlock_keys([sshd.address()], settings)
    with pytest.raises(LoginRejected, match="is encrypted: load it into an agent by ssh-add"):
        connect(sshd.address(), settings, name="kvm-a")


FORMS = {"ed25519": (), "ecdsa": (), "rsa": (), "rsa in PEM": ("-m", "PEM")}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_key_can_be_unlocked(sshd: Sshd, tmp_path: Path, form: str) -> None:
    key = encrypted(sshd, tmp_path / "key", kind=form.split(maxsplit=1)[0], form=FORMS[form])
    assert not unlock_key(key, "wrong")
    assert unlock_key(key, PASSPHRASE)
    with closing(connect(sshd.address(), sshd.client(config=[f"IdentityFile {key}"]), name="kvm-a")) as connection:
        assert connection.execute("echo in").stdout == b"in\n"


def test_the_public_half_is_read_from_the_clear_part_of_an_encrypted_file(sshd: Sshd, tmp_path: Path) -> None:
    key = encrypted(sshd, tmp_path / "key")
    words = public(key).split()
    expected = public_half(Path(f"{key}.pub"))
    Path(f"{key}.pub").unlink()
    assert public_half(key) == expected is not None
    assert words[0].encode() in (expected or b"")
