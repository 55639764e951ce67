"""Targets that a program on this machine leads to."""

import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from nested_kvm.connection import Settings, connect
from nested_kvm.errors import ConnectionFailed
from nested_kvm.inventory.address import Address
from tests.support.sshd import Sshd, make_key
from tests.support.suite import ROOT
from tests.support.threads import threads_have_ended

pytestmark = pytest.mark.needs("sshd", "nc")


HALF_MADE = """\
import contextlib, sys
from nested_kvm.connection.ssh.proxy_command import ProxyCommand
program = ProxyCommand(sys.argv[1])
program.settimeout(0.5)
with contextlib.suppress(TimeoutError):
    program.recv(1)
"""


def client(sshd: Sshd, command: str, *config: str, **settings: object) -> Settings:
    return sshd.client(config=[*config, f"ProxyCommand {command}"], **settings)  # type: ignore[arg-type]  # passed on


def runs(pid_file: Path) -> bool:
    """Tell whether the process still runs, or does after the moment that it may take to end."""
    status = Path("/proc") / pid_file.read_text().strip() / "status"
    end = time.monotonic() + 3
    while status.exists() and "State:\tZ" not in status.read_text() and time.monotonic() < end:
        time.sleep(0.02)
    return status.exists() and "State:\tZ" not in status.read_text()


def test_its_pipes_carry_the_connection(sshd: Sshd, tmp_path: Path) -> None:
    threads, files = threading.enumerate(), len(list(Path("/proc/self/fd").iterdir()))
    settings = client(sshd, f"tee {tmp_path}/sent | nc %h %p")
    with closing(connect(sshd.address(), settings, name="kvm-a")) as connection:
        assert connection.execute("cat; head -c 300000 /dev/zero | wc -c").stdout.strip() == b"300000"
    assert (tmp_path / "sent").read_bytes().startswith(b"SSH-2.0-paramiko")
    assert threads_have_ended(threads)
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_tokens_are_those_of_the_address_first(sshd: Sshd, tmp_path: Path) -> None:
    command = f"sh -c 'echo \"$@\" >{tmp_path}/said; exec nc $1 $2' sh %h %p %r %n 100%%"
    settings = client(sshd, command, f"HostName {sshd.host}", "Port 1", "User nobody")
    address = Address.parse(f"ssh://{sshd.user}@kvm-a:{sshd.port}")
    connect(address, settings, name="kvm-a").close()
    assert (tmp_path / "said").read_text() == f"{sshd.host} {sshd.port} {sshd.user} kvm-a 100%\n"


@pytest.mark.parametrize("ignores", ["", "trap '' TERM HUP; "])
def test_it_ends_with_the_connection_and_all_that_it_started_too(sshd: Sshd, tmp_path: Path, ignores: str) -> None:
    script = tmp_path / "proxy"
    script.write_text(
        f"{ignores}sleep 100 & echo $! >{tmp_path}/child; echo $$ >{tmp_path}/leader; nc $1 $2\nsleep 100\n"
    )
    connection = connect(sshd.address(), client(sshd, f"sh {script} %h %p"), name="kvm-a")
    connection.close()
    assert not runs(tmp_path / "leader")
    assert not runs(tmp_path / "child")


def test_it_ends_where_the_host_is_refused_too(sshd: Sshd, tmp_path: Path) -> None:
    settings = client(sshd, f"sh -c 'echo $$ >{tmp_path}/pid; exec nc $1 $2' sh %h %p", known_hosts="")
    with pytest.raises(ConnectionFailed, match="is unknown"):
        connect(sshd.address(), settings, name="kvm-a")
    assert not runs(tmp_path / "pid")


def test_what_it_complains_about_is_in_the_error_as_plain_text(sshd: Sshd) -> None:
    settings = client(sshd, r"printf '\033[31mno route\n' >&2")
    with pytest.raises(
        ConnectionFailed, match=r"closed the connection .*; its ProxyCommand printed: \[31mno route$"
    ) as caught:
        connect(sshd.address(), settings, name="kvm-a")
    assert str(caught.value).isprintable()


def test_one_that_is_missing_is_an_error(sshd: Sshd) -> None:
    with pytest.raises(ConnectionFailed, match=r"its ProxyCommand printed: .*no-such-program"):
        connect(sshd.address(), client(sshd, "no-such-program"), name="kvm-a")


def test_one_that_hangs_ends_in_time_and_endless_complaints_are_no_reason_to_hang(sshd: Sshd) -> None:
    before = threading.enumerate()
    for command in ("sleep 100", "sh -c 'yes >&2 & sleep 100'"):
        with pytest.raises(ConnectionFailed, match=r"key exchange within 0\.6 s"):
            connect(sshd.address(), client(sshd, command, connect_timeout=0.6), name="kvm-a")
    assert threads_have_ended(before)


@pytest.mark.parametrize("command", ["nc %h %Z", "nc %"])
def test_a_token_that_is_not_known_is_an_error(sshd: Sshd, command: str) -> None:
    with pytest.raises(ConnectionFailed, match=r"its ProxyCommand has '%Z?', which is not supported"):
        connect(sshd.address(), client(sshd, command), name="kvm-a")


def test_a_user_with_characters_of_the_shell_never_reaches_it(sshd: Sshd, tmp_path: Path) -> None:
    address = Address.parse(f"ssh://a$(touch%20{tmp_path.name})@{sshd.host}:{sshd.port}")
    with pytest.raises(ConnectionFailed, match=r"is not allowed in a ProxyCommand"):
        connect(address, client(sshd, f"cd {tmp_path}; echo %r"), name="kvm-a")
    assert list(tmp_path.iterdir()) == []


def test_none_connects_straight(sshd: Sshd) -> None:
    settings = sshd.client(config=["ProxyCommand none", "ProxyCommand false"])
    with closing(connect(sshd.address(), settings, name="kvm-a")) as connection:
        assert connection.execute("echo straight").stdout == b"straight\n"


def test_the_key_of_the_target_is_checked_behind_it(sshd: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    known = f"{sshd.known_name} {' '.join(Path(f'{other}.pub').read_text().split()[:2])}\n"
    with pytest.raises(ConnectionFailed, match="is not the one in"):
        connect(sshd.address(), client(sshd, "nc %h %p", known_hosts=known), name="kvm-a")


def test_a_socket_of_ours_is_not_inherited(sshd: Sshd, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        settings = client(sshd, f"sh -c 'ls -l /proc/self/fd >{tmp_path}/fds; exec nc $1 $2' sh %h %p")
        connect(sshd.address(), settings, name="kvm-a").close()
    assert "socket:" not in (tmp_path / "fds").read_text()


def test_it_ends_with_a_run_that_leaves_a_connection_half_made(tmp_path: Path) -> None:
    command = f"sh -c 'echo $$ >{tmp_path}/pid; exec sleep 100'"
    subprocess.run([sys.executable, "-c", HALF_MADE, command], check=True, cwd=ROOT)
    assert not runs(tmp_path / "pid")
