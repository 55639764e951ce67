"""This machine, and what Testinfra reaches: the same limits, without SSH."""

import os
import select
import time
from contextlib import closing
from pathlib import Path

import pytest

from nested_kvm.connection import Settings, connect
from nested_kvm.connection.base import STDERR_KEPT
from nested_kvm.connection.testinfra_backends import BackendConnection
from nested_kvm.errors import ConnectionFailed, LimitExceeded
from nested_kvm.inventory.address import Address

MEBIBYTE = 1024 * 1024


def reach(spec: str = "local://", **settings: object) -> BackendConnection:
    connection = connect(Address.parse(spec), Settings(**settings), name="here")  # type: ignore[arg-type]
    assert isinstance(connection, BackendConnection)
    return connection


def test_an_answer_is_standard_output_standard_error_and_exit_status() -> None:
    answer = reach().execute(r"printf 'a\377b'; echo complaint >&2; exit 7")
    assert (answer.stdout, answer.stderr, answer.exit_status) == (b"a\xffb", b"complaint\n", 7)


def test_arguments_arrive_as_they_are() -> None:
    arguments = ["two words", "it's", "$HOME `id` \\", "-n", "", "new\nline", "é"]
    assert reach().execute("""printf '%s\\0' "$@" """, *arguments).stdout == "\0".join([*arguments, ""]).encode()


def test_nothing_of_the_script_is_seen_in_the_list_of_processes() -> None:
    assert reach().execute("cat /proc/$$/cmdline", "a secret").stdout == b"/bin/sh\0-s\0"


def test_four_mebibytes_of_complaints_do_not_hide_the_answer() -> None:
    answer = reach().execute(f"head -c {4 * MEBIBYTE} /dev/zero >&2; echo the answer")
    assert (answer.stdout, len(answer.stderr)) == (b"the answer\n", STDERR_KEPT)


def test_a_large_script_and_a_large_answer_do_not_wait_for_one_another() -> None:
    script = f"head -c {MEBIBYTE} /dev/zero\n" + f": {'x' * 70}\n" * 20_000
    assert len(reach().execute(script).stdout) == MEBIBYTE


@pytest.mark.parametrize("redirection", ["", " >&2"])
def test_an_endless_answer_is_cut(redirection: str) -> None:
    with pytest.raises(LimitExceeded, match="here: it wrote more than 100000 bytes") as caught:
        reach(answer_limit=100_000).execute(f"echo first; yes{redirection}")
    assert caught.value.partial.startswith(b"first\n")


def test_what_arrived_before_a_time_out_is_kept_and_nothing_goes_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "held")
    holders = select.poll()
    reader = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    holders.register(reader, 0)
    start = time.monotonic()
    with pytest.raises(LimitExceeded, match=r"here: no complete answer within 0\.4 s") as caught:
        reach(probe_timeout=0.4).execute('echo one section; (sleep 100; :) >"$1"', str(tmp_path / "held"))
    assert caught.value.partial == b"one section\n"
    assert time.monotonic() - start < 30, "waited for the sleep"
    assert holders.poll(2000) == [(reader, select.POLLHUP)], "a process still holds the pipe"
    os.close(reader)


def test_a_process_left_behind_does_not_hold_up_the_answer() -> None:
    start = time.monotonic()
    assert reach().execute("sleep 60 & echo done").stdout == b"done\n"
    assert time.monotonic() - start < 30, "waited for the sleep"


def test_a_program_killed_by_a_signal_has_no_exit_status() -> None:
    assert reach().execute("echo before; kill -9 $$").exit_status is None


def test_a_program_may_end_without_reading_its_script() -> None:
    assert reach().execute("exit 4\n" + "# never read\n" * 100_000).exit_status == 4


def test_no_descriptor_is_left() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with closing(reach()) as connection:
        connection.execute("true")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestSudo:
    def test_a_refusal_is_an_error_that_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.add(tmp_path, "echo 'sudo: a password is required' >&2; exit 1")
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        with pytest.raises(
            ConnectionFailed, match=r"here: sudo -n did not run the probe: sudo: a password is required.*NOPASSWD"
        ):
            reach(sudo=True).execute("exit 1")

    def test_it_never_prompts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.add(tmp_path, 'echo "$*" >&2; while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        connection = reach(sudo=True, sudo_user="auditor")
        assert connection.execute("echo $1", "out").stderr == b"-n -u auditor -- /bin/sh -s\n"
        assert connection.host.run("echo %s", "out").stderr == "-n -u auditor -- /bin/sh -c echo out\n"

    def test_a_machine_without_it_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConnectionFailed, match=r"here: sudo -n did not run the probe: .*not found. Install sudo"):
            reach(sudo=True).execute("true")

    @staticmethod
    def add(directory: Path, script: str) -> None:
        path = directory / "sudo"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


class TestTestinfra:
    def test_a_sites_own_check_has_the_same_limits(self) -> None:
        connection = reach(probe_timeout=0.4)
        assert connection.host.run("echo %s; exit 9", "a b").stdout == "a b\n"
        with pytest.raises(LimitExceeded):
            connection.host.run("sleep 100")

    def test_its_id_is_the_inventorys_name(self) -> None:
        assert reach().host.backend.get_pytest_id() == "here"


class TestAnotherBackend:
    @pytest.fixture
    def container(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """A stand-in for the program that Testinfra runs; it takes the words that docker takes."""
        path = tmp_path / "docker"
        path.write_text('#!/bin/sh\n[ "$1 $2" = "exec box" ] || exit 125\nshift 2\nexec "$@"\n')
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return "docker://box"

    def test_it_runs_the_same_script_in_one_execution(self, container: str) -> None:
        answer = reach(container).execute(r"""printf '%s\0' "$@"; printf '\377'; exit 3""", "it's", "two words")
        assert (answer.stdout, answer.exit_status) == (b"it's\0two words\0\xff", 3)

    def test_it_is_bounded(self, container: str) -> None:
        with pytest.raises(LimitExceeded) as caught:
            reach(container, probe_timeout=0.4).execute("echo one section; exec sleep 100")
        assert caught.value.partial == b"one section\n"
        with pytest.raises(LimitExceeded):
            reach(container, answer_limit=1000).execute("yes")

    def test_it_keeps_its_own_kind_and_takes_its_options(self, container: str) -> None:
        backend = reach(f"{container}?sudo=true").host.backend
        assert (backend.get_connection_type(), backend.sudo) == ("docker", True)


def test_a_guest_of_this_machine_is_reached_from_here() -> None:
    address = Address.parse("ssh://127.0.0.1:1")
    with pytest.raises(ConnectionFailed, match=r"ci-1 \(127.0.0.1 port 1\): unreachable"):
        connect(address, Settings(), name="ci-1", via=reach())


def test_there_is_no_way_through_a_container() -> None:
    address = Address.parse("ssh://127.0.0.1:1")
    with pytest.raises(
        ConnectionFailed, match="ci-1: it cannot be reached through here, which is reached by docker://"
    ):
        connect(address, Settings(), name="ci-1", via=reach("docker://box"))
