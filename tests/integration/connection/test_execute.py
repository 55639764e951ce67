import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from nested_kvm.connection import connect
from nested_kvm.connection.base import STDERR_KEPT
from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.errors import ConnectionFailed, LimitExceeded
from tests.integration.l2.test_boot import until
from tests.support.sshd import Sshd, SshdFactory

pytestmark = pytest.mark.needs("sshd")

MEBIBYTE = 1024 * 1024


def reach(sshd: Sshd, user: str | None = None, **settings: object) -> SshConnection:
    connection = connect(sshd.address(user), sshd.client(**settings), name="kvm-a")  # type: ignore[arg-type]
    assert isinstance(connection, SshConnection)
    return connection


@pytest.fixture
def connection(sshd: Sshd) -> Iterator[SshConnection]:
    with closing(reach(sshd)) as connection:
        yield connection


def test_a_connection_is_one_login_and_a_call_is_one_execution(sshd: Sshd) -> None:
    logins, executions = sshd.logins, sshd.executions
    with closing(reach(sshd)) as connection:
        for _ in range(3):
            connection.execute("true")
    assert (sshd.logins - logins, sshd.executions - executions) == (1, 3)


def test_an_answer_is_standard_output_standard_error_and_exit_status(connection: SshConnection) -> None:
    answer = connection.execute(r"printf 'a\377b'; echo complaint >&2; exit 7")
    assert (answer.stdout, answer.stderr, answer.exit_status) == (b"a\xffb", b"complaint\n", 7)


def test_arguments_arrive_as_they_are(connection: SshConnection) -> None:
    arguments = ["two words", "it's", "$HOME `id` \\", "-n", "", "new\nline", "é"]
    answer = connection.execute(
        r"printf '%s\0' $# "
        r'"$@"',
        *arguments,
    )
    assert answer.stdout == "\0".join(["7", *arguments, ""]).encode()


def test_nothing_of_the_script_is_seen_in_the_list_of_processes(connection: SshConnection) -> None:
    answer = connection.execute("cat /proc/$$/cmdline; : a secret word", "another secret")
    assert answer.stdout == b"/bin/sh\0-s\0"


@pytest.mark.needs("accounts")
def test_any_login_shell_carries_a_script_to_sh(sshd: Sshd) -> None:
    script = 'test -z "$BASH_VERSION" && echo "$1"'
    shells = ["plain", "bashful"]
    answers = []
    for user in shells:
        with closing(reach(sshd, user)) as connection:
            answers.append(connection.execute(script, user).stdout.decode().strip())
    assert answers == shells


@pytest.mark.needs("accounts")
def test_an_account_without_a_shell_answers_what_it_answers(sshd: Sshd) -> None:
    with closing(reach(sshd, "locked-out")) as connection:
        answer = connection.execute("echo never")
    assert (answer.exit_status, b"never" in answer.stdout) == (1, False)


def test_four_mebibytes_of_complaints_do_not_hide_the_answer(connection: SshConnection) -> None:
    answer = connection.execute(f"head -c {4 * MEBIBYTE} /dev/zero >&2; echo the answer")
    assert answer.stdout == b"the answer\n"
    assert len(answer.stderr) == STDERR_KEPT


def test_the_largest_answer_arrives_whole(connection: SshConnection) -> None:
    answer = connection.execute(f"head -c {4 * MEBIBYTE} /dev/zero")
    assert len(answer.stdout) == 4 * MEBIBYTE


def test_a_script_larger_than_the_channels_window_arrives_whole(connection: SshConnection) -> None:
    lines = 250_000
    assert connection.execute("i=$((i+1))\n" * lines + "echo $i").stdout == f"{lines}\n".encode()


@pytest.mark.parametrize("redirection", ["", " >&2"])
def test_an_endless_answer_is_cut_and_the_connection_closed(sshd: Sshd, redirection: str) -> None:
    with closing(reach(sshd, answer_limit=100_000)) as connection:
        with pytest.raises(LimitExceeded, match="kvm-a: it wrote more than 100000 bytes") as caught:
            connection.execute(f"echo first; yes{redirection}")
        assert caught.value.partial.startswith(b"first\n")
        assert len(caught.value.partial) <= 100_000
        with pytest.raises(ConnectionFailed, match="wrote too much"):
            connection.execute("true")


def test_what_arrived_before_a_time_out_is_kept(sshd: Sshd) -> None:
    with closing(reach(sshd, probe_timeout=0.5)) as connection:
        with pytest.raises(LimitExceeded, match=r"kvm-a: no complete answer within 0\.5 s") as caught:
            connection.execute("echo one section; exec sleep 100")
        assert caught.value.partial == b"one section\n"
        with pytest.raises(ConnectionFailed, match="abandoned after a timeout"):
            connection.execute("true")


def test_what_arrived_before_the_connection_died_is_kept(sshd: Sshd) -> None:
    with closing(reach(sshd)) as connection:
        threading.Timer(0.3, connection._transport.sock.shutdown, args=[2]).start()
        with pytest.raises(ConnectionFailed, match="kvm-a: the connection broke") as caught:
            connection.execute("echo one section; exec sleep 100")
    assert caught.value.partial == b"one section\n"


def test_a_program_killed_by_a_signal_has_no_exit_status(connection: SshConnection) -> None:
    answer = connection.execute("echo before; kill -9 $$")
    assert (answer.exit_status, answer.stdout) == (None, b"before\n")


def test_a_process_left_behind_does_not_hold_up_the_answer(sshd: Sshd) -> None:
    with closing(reach(sshd, probe_timeout=8.0)) as connection:
        answer = connection.execute("sleep 20 & echo done")
    assert (answer.exit_status, answer.stdout) == (0, b"done\n")


def test_a_program_may_end_without_reading_its_script(connection: SshConnection) -> None:
    assert connection.execute("exit 4\n" + "# never read\n" * 100_000).exit_status == 4


def test_small_packets_are_not_held_back(connection: SshConnection) -> None:
    sock = connection._transport.sock
    assert isinstance(sock, socket.socket)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_many_threads_share_one_connection(connection: SshConnection) -> None:
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda number: connection.execute("echo $1", str(number)), range(10)))
    assert [answer.stdout for answer in answers] == [f"{number}\n".encode() for number in range(10)]


def test_nothing_is_left_after_closing_twice(sshd: Sshd) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    connection = reach(sshd)
    connection.execute("true")
    for _ in range(2):
        connection.close()
    assert until(lambda: {thread.ident for thread in threading.enumerate()} <= before)
    assert connection._transport.sock.fileno() == -1
    with pytest.raises(ConnectionFailed, match="closed"):
        connection.execute("true")


def test_an_sshd_that_allows_few_sessions_is_waited_for(start_sshd: SshdFactory) -> None:
    sshd = start_sshd(settings=["MaxSessions 2"])
    with closing(reach(sshd)) as connection, ThreadPoolExecutor(16) as pool:
        connection.execute("true")
        answers = list(pool.map(lambda number: connection.execute("sleep 0.1; echo $1", str(number)), range(16)))
    assert [answer.stdout for answer in answers] == [f"{number}\n".encode() for number in range(16)]
    assert sshd.logins == 1


def test_a_session_that_sshd_never_lets_begin_is_an_error_in_time(start_sshd: SshdFactory) -> None:
    sshd = start_sshd(settings=["MaxSessions 1"])
    with closing(reach(sshd, probe_timeout=1.0)) as connection, ThreadPoolExecutor(1) as pool:
        stream = pool.submit(connection.open_stream, "cat").result()
        start = time.monotonic()
        with pytest.raises(ConnectionFailed, match="kvm-a: the target does not run a command"):
            connection.execute("true")
        assert time.monotonic() - start < 30
        stream.close()
        assert connection.execute("echo again").stdout == b"again\n"


def test_no_session_can_be_opened(start_sshd: SshdFactory) -> None:
    sshd = start_sshd(settings=["MaxSessions 0"])
    with (
        closing(reach(sshd)) as connection,
        pytest.raises(ConnectionFailed, match="kvm-a: the target does not run a command"),
    ):
        connection.execute("true")


class TestSudo:
    @pytest.fixture(autouse=True)
    def remove(self, sshd: Sshd) -> Iterator[None]:
        yield
        with suppress(FileNotFoundError):
            (sshd.programs / "sudo").unlink()

    def test_it_is_asked_without_a_prompt_and_its_mark_is_taken_out(self, sshd: Sshd) -> None:
        sshd.add_program(
            "sudo",
            """\
            #!/bin/sh
            echo "sudo was given: $*" >&2
            while [ "$1" != -- ]; do shift; done; shift
            exec "$@"
            """,
        )
        with closing(reach(sshd, sudo=True, sudo_user="it's")) as connection:
            answer = connection.execute("echo $1; echo complaint >&2", "out")
        assert answer.stdout == b"out\n"
        assert answer.stderr == b"sudo was given: -n -u it's -- /bin/sh -s\ncomplaint\n"

    def test_a_refusal_is_an_error_that_says_so(self, sshd: Sshd) -> None:
        sshd.add_program(
            "sudo",
            """\
            #!/bin/sh
            echo 'sudo: a password is required' >&2
            exit 1
            """,
        )
        with closing(reach(sshd, sudo=True)) as connection, pytest.raises(ConnectionFailed) as caught:
            connection.execute("exit 1")
        assert str(caught.value).startswith("kvm-a: sudo -n did not run the probe: sudo: a password is required.")


class TestTestinfra:
    def test_a_sites_own_check_uses_the_same_connection(self, sshd: Sshd) -> None:
        logins = sshd.logins
        with closing(reach(sshd)) as connection:
            assert connection.host.file("/etc/passwd").is_file  # type: ignore[attr-defined,call-arg]  # Testinfra finds its modules at run time
            assert connection.host.run("echo %s; cat", "a b").stdout == "a b\n"
            assert connection.host.run("exit 9").rc == 9
        assert sshd.logins == logins + 1

    def test_output_in_another_encoding_needs_nothing_on_the_target(
        self, sshd: Sshd, connection: SshConnection
    ) -> None:
        executions = sshd.executions
        assert connection.host.run(r"printf '\350'").stdout == "\N{REPLACEMENT CHARACTER}"
        assert sshd.executions == executions + 1

    def test_its_id_is_the_inventorys_name(self, connection: SshConnection) -> None:
        assert connection.get_pytest_id() == "kvm-a"
