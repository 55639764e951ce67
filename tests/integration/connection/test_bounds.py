"""Hosts that do not do what they should: each ends in time, in one sentence."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import paramiko
import pytest

from nested_kvm.connection import Settings, connect
from nested_kvm.connection.base import MEBIBYTE
from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.errors import ConnectionFailed, LimitExceeded
from nested_kvm.inventory.address import Address
from tests.support.misbehaving import MisbehavingServer
from tests.support.sshd import free_port, make_key
from tests.support.threads import threads_have_ended

pytestmark = pytest.mark.alone

Behaviour = Callable[[socket.socket], None]

LIMIT = 0.6
SLACK = 2.0


@contextmanager
def listening(behaviour: Behaviour) -> Iterator[int]:
    """Serve each visitor on a port of loopback, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        visitors: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    visitor, _ = server.accept()
                    visitors.append(visitor)
                    behaviour(visitor)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for visitor in visitors:
                visitor.close()
            thread.join()


def say(data: bytes) -> Behaviour:
    return lambda visitor: visitor.sendall(data)


def drip(data: bytes, interval: float) -> Behaviour:
    def drip(visitor: socket.socket) -> None:
        while True:
            visitor.sendall(data)
            time.sleep(interval)

    return drip


def no_answer(_visitor: socket.socket) -> None:
    """Accept, and say nothing."""


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (no_answer, r"it does not complete SSH's key exchange within 0\.6 s"),
        (drip(b"hello\r\n", 0.05), "key exchange|the SSH key exchange failed"),
        (drip(b"x", 0.05), "key exchange within"),
        (drip(b"x" * 65536, 0), "failed .it sends more than 65536 bytes before it speaks SSH"),
        (socket.socket.close, "closed the connection before the SSH key exchange"),
        (say(b"220 mail.example.net ESMTP\r\n" * 200), "the SSH key exchange failed"),
        (say(b"SSH-2.0-quiet\r\n"), "key exchange within"),
        (say(b"SSH-1.5-ancient\r\n"), r"the SSH key exchange failed \(Incompatible version \(1.5"),
        (say(b"SSH-2.0-vast\r\n\x7f\x7f\x7f\x7c" + bytes(64)), r"failed \(it announces a packet of \d{10} bytes"),
        (say(b"SSH-2.0-noise\r\n" + b"\x00\x00\x00\x0c\x0a\x14" + b"\xff" * 64), "the SSH key exchange failed"),
    ],
    ids=[
        "silent",
        "endless banner",
        "a byte at a time",
        "endless line",
        "closes",
        "mail",
        "hangs",
        "old",
        "vast",
        "noise",
    ],
)
def test_a_host_that_does_not_agree_on_ssh_ends_in_time(behaviour: Behaviour, reason: str, empty: Path) -> None:
    before = threading.enumerate()
    with listening(behaviour) as port:
        start = time.monotonic()
        with pytest.raises(ConnectionFailed, match=reason) as caught:
            connect(Address.parse(f"ssh://127.0.0.1:{port}"), settings(empty), name="kvm-a")
        assert time.monotonic() - start < LIMIT + SLACK
    assert str(caught.value).startswith(f"kvm-a (127.0.0.1 port {port}): ")
    assert "\n" not in str(caught.value)
    assert threads_have_ended(before)


def test_what_a_host_says_never_reaches_the_terminal_as_it_is(empty: Path) -> None:
    with listening(say(b"\x1b[31mred\r\n" * 100)) as port, pytest.raises(ConnectionFailed) as caught:
        connect(Address.parse(f"ssh://127.0.0.1:{port}"), settings(empty), name="kvm-a")
    assert str(caught.value).isprintable()


def test_a_port_that_nobody_listens_on_is_refused_at_once(empty: Path) -> None:
    port = free_port()
    with pytest.raises(ConnectionFailed) as caught:
        connect(Address.parse(f"ssh://127.0.0.1:{port}"), settings(empty), name="kvm-a")
    assert str(caught.value) == (
        f"kvm-a (127.0.0.1 port {port}): unreachable (Connection refused): is it up, and is the port right?"
    )


def test_a_full_backlog_ends_in_time(empty: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        with socket.create_connection(server.getsockname()):
            address = Address.parse(f"ssh://127.0.0.1:{server.getsockname()[1]}")
            with pytest.raises(ConnectionFailed, match=r"no answer within 0\.6 s"):
                connect(address, settings(empty), name="kvm-a")


def test_a_name_that_nobody_knows_is_an_error(empty: Path) -> None:
    with pytest.raises(ConnectionFailed, match=r"kvm-a .*: the host name does not resolve"):
        connect(Address.parse("ssh://no-such-host.invalid"), settings(empty), name="kvm-a")


def settings(config: Path) -> Settings:
    return Settings(connect_timeout=LIMIT, probe_timeout=LIMIT, ssh_config=config)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text("StrictHostKeyChecking no\nUserKnownHostsFile none\nGlobalKnownHostsFile none\n")
    return path


class TestAfterTheKeyExchange:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        identity = make_key(tmp_path / "identity")
        path = tmp_path / "config"
        path.write_text(f"IdentityFile {identity}\nIdentitiesOnly yes\nStrictHostKeyChecking no\n")
        return path

    def test_a_hang_at_authentication_ends_in_time(self, config: Path) -> None:
        before = threading.enumerate()
        with MisbehavingServer(hangs_at_login=True) as server:
            start = time.monotonic()
            with pytest.raises(ConnectionFailed, match=r"it does not decide on the login of root within 0\.6 s"):
                connect(server.address, settings(config), name="kvm-a")
            assert time.monotonic() - start < LIMIT + SLACK
        assert threads_have_ended(before)

    def test_a_hang_at_execution_ends_in_time(self, config: Path) -> None:
        before = threading.enumerate()
        with MisbehavingServer(hangs_at_execution=True) as server:
            connection = connect(server.address, settings(config), name="kvm-a")
            start = time.monotonic()
            with closing(connection), pytest.raises(LimitExceeded, match=r"no complete answer within 0\.6 s"):
                connection.execute("true")
            assert time.monotonic() - start < LIMIT + SLACK
        assert threads_have_ended(before)

    def test_a_refused_execution_is_an_error(self, config: Path) -> None:
        with MisbehavingServer(refuses_execution=True) as server:
            connection = connect(server.address, settings(config), name="kvm-a")
            with (
                closing(connection),
                pytest.raises(ConnectionFailed, match="kvm-a: the target does not run a command"),
            ):
                connection.execute("true")

    def test_a_hang_at_opening_a_channel_ends_in_time(self, config: Path) -> None:
        with MisbehavingServer(hangs_at_channel=True) as server:
            connection = connect(server.address, settings(config), name="kvm-a")
            with closing(connection), pytest.raises(LimitExceeded, match=r"no complete answer within 0\.6 s"):
                connection.execute("true")

    def test_what_is_sent_beyond_the_window_ends_the_connection(self, config: Path) -> None:
        def pour(channel: paramiko.Channel) -> None:
            channel.out_window_size = 1 << 30
            channel.sendall(bytes(32 * MEBIBYTE))

        with MisbehavingServer(answer=pour) as server:
            connection = connect(server.address, settings(config), name="kvm-a")
            with closing(connection):
                assert isinstance(connection, SshConnection)
                stream = connection.open_stream("true")
                until = time.monotonic() + 10
                while connection.is_alive and time.monotonic() < until:
                    time.sleep(0.01)
                assert not connection.is_alive
                kept = sum(len(data) for data in iter(lambda: stream.recv(MEBIBYTE), b""))
        assert kept < 3 * MEBIBYTE

    def test_neither_the_agent_nor_a_display_is_ever_offered(self, config: Path) -> None:
        with MisbehavingServer(answer=lambda channel: channel.send_exit_status(0)) as server:
            connection = connect(server.address, settings(config), name="kvm-a")
            with closing(connection):
                connection.execute("true")
        assert server.asked == ["session", "exec"]

    @pytest.mark.parametrize("drops", [0, 1, 2])
    def test_what_drops_the_connection_is_tried_once_more(self, config: Path, drops: int) -> None:
        patient = Settings(connect_timeout=60.0, probe_timeout=LIMIT, ssh_config=config)
        with MisbehavingServer(drops=drops) as server:
            if drops < 2:
                connect(server.address, patient, name="kvm-a").close()
            else:
                with pytest.raises(ConnectionFailed, match="it closed the connection before the SSH key exchange"):
                    connect(server.address, patient, name="kvm-a")
        assert server.visitors == min(drops + 1, 2)

    def test_a_host_that_refuses_the_login_is_tried_once(self, config: Path) -> None:
        config.write_text(config.read_text().replace("StrictHostKeyChecking no", "UserKnownHostsFile none"))
        patient = Settings(connect_timeout=60.0, probe_timeout=LIMIT, ssh_config=config)
        with MisbehavingServer() as server, pytest.raises(ConnectionFailed, match="is unknown"):
            connect(server.address, patient, name="kvm-a")
        assert server.visitors == 1
