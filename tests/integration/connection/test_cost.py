"""What a connection costs is counted: packets' MACs, threads, look-ups."""

import threading
from contextlib import ExitStack, closing

import pytest

from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.connection.ssh.transport import cheapest_first
from tests.integration.connection.test_execute import reach
from tests.support.sshd import Sshd, SshdFactory
from tests.support.threads import threads_but, threads_have_ended

pytestmark = pytest.mark.needs("sshd")
CONNECTIONS = 5


def cipher(connection: SshConnection) -> str:
    return str(connection._transport.remote_cipher)  # type: ignore[attr-defined]  # the stubs leave it out


def test_packets_are_authenticated_by_their_cipher_where_the_server_has_one(sshd: Sshd) -> None:
    with closing(reach(sshd)) as connection:
        assert cipher(connection) == "aes128-gcm@openssh.com"
        assert connection.execute("head -c 100000 /dev/zero").stdout == bytes(100_000)


def test_a_server_without_such_a_cipher_is_reached_too(start_sshd: SshdFactory) -> None:
    with closing(reach(start_sshd(settings=["Ciphers aes256-ctr"]))) as connection:
        assert cipher(connection) == "aes256-ctr"
        assert connection.execute("head -c 100000 /dev/zero").stdout == bytes(100_000)


def test_no_cipher_is_lost_by_preferring_some() -> None:
    known = ["3des-cbc", "aes256-gcm@openssh.com", "aes128-ctr", "aes128-gcm@openssh.com"]
    assert cheapest_first(known) == [known[1], known[3], known[0], known[2]]


def test_a_connection_that_waits_wakes_once_a_second_at_most(sshd: Sshd) -> None:
    with closing(reach(sshd)) as connection:
        assert connection._transport.sock.gettimeout() == 1.0
        assert connection.execute("sleep 1.2; echo done").stdout == b"done\n"


def test_a_connection_is_one_thread_and_the_deadlines_of_all_are_one_more(sshd: Sshd) -> None:
    before = threading.enumerate()
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(reach(sshd))) for _ in range(CONNECTIONS)]
        assert len([each for each in threads_but(before) if each.name != "deadlines"]) == CONNECTIONS
        waiting = [threading.Thread(target=each.execute, args=("sleep 1",)) for each in opened]
        for each in waiting:
            each.start()
        assert len(threads_but(before)) <= 2 * CONNECTIONS + 1
        for each in waiting:
            each.join()
    assert threads_have_ended(before)
