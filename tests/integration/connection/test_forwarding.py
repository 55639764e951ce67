"""Nothing of the controller is lent to a target: neither its agent nor its display, whatever the ssh_config says."""

from contextlib import closing

import pytest

from nested_kvm.connection import connect
from tests.support.sshd import Sshd

pytestmark = pytest.mark.needs("sshd")


def test_neither_the_agent_nor_the_display_is_forwarded(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(sshd.directory / "agent"))
    monkeypatch.setenv("DISPLAY", ":0")
    settings = sshd.client(config=["ForwardAgent yes", "ForwardX11 yes", "ForwardX11Trusted yes"])
    with closing(connect(sshd.address(), settings, name="kvm-a")) as connection:
        answer = connection.execute('echo "<$SSH_AUTH_SOCK$DISPLAY>"')
    assert answer.stdout == b"<>\n"


def test_a_key_file_of_one_address_is_for_that_target_alone(sshd: Sshd) -> None:
    """`?ssh_identity_file=` goes before what the ssh_config says, as an inventory of Ansible's means it."""
    settings = sshd.client(config=["IdentityFile none"])
    spec = f"{sshd.address()}?ssh_identity_file={sshd.identity}&timeout=9"
    with closing(connect(sshd.address().parse(spec), settings, name="kvm-a")) as connection:
        assert connection.execute("echo in").stdout == b"in\n"
    assert settings.ssh_identity_file is None
