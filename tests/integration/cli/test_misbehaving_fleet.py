"""One run over twenty healthy guests and one target for each way in which a server can misbehave."""

import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko
import pytest

from tests.support.guests import PLAIN_GUEST
from tests.support.misbehaving import MisbehavingServer
from tests.support.peak import bytes_in, measured
from tests.support.sshd import Sshd, SshdFactory, make_key, public
from tests.support.suite import ROOT, SuiteRun, command_line, environment

pytestmark = [pytest.mark.needs("sshd", "accounts"), pytest.mark.alone]

MEBIBYTE = 1024 * 1024
CONNECT, PROBE, SLACK = 5, 6, 10
"""Seconds: the run's limits, and what it may take beyond them."""
PEAK = 250 * MEBIBYTE
HEALTHY = [f"healthy-{number}" for number in range(20)]

Speech = Callable[[socket.socket], None]


def keep_saying(data: bytes, interval: float) -> Speech:
    def speak(visitor: socket.socket) -> None:
        while True:
            visitor.sendall(data)
            time.sleep(interval)

    return speak


BEFORE_SSH: Mapping[str, Speech] = {
    "silent": lambda _visitor: None,
    "closes": socket.socket.close,
    "endless-banner": keep_saying(b"welcome\r\n", 0),
    "endless-line": keep_saying(b"x" * 4096, 0),
    "byte-a-second": keep_saying(b"S", 1),
}


def midway(channel: paramiko.Channel) -> None:
    channel.sendall(b"half an answer")
    channel.get_transport().sock.shutdown(socket.SHUT_RDWR)


def forever(send: Callable[[paramiko.Channel, bytes], None]) -> Callable[[paramiko.Channel], None]:
    def pour(channel: paramiko.Channel) -> None:
        while True:
            send(channel, b"x" * 32768)

    return pour


def exits(status: int) -> Callable[[paramiko.Channel], None]:
    return lambda channel: channel.send_exit_status(status)


WITH_SSH: Mapping[str, MisbehavingServer] = {
    "hang-at-login": MisbehavingServer(hangs_at_login=True),
    "hang-at-execution": MisbehavingServer(hangs_at_execution=True),
    "channel-refused": MisbehavingServer(refuses_channel=True),
    "execution-refused": MisbehavingServer(refuses_execution=True),
    "endless-stdout": MisbehavingServer(answer=forever(paramiko.Channel.sendall)),
    "endless-stderr": MisbehavingServer(answer=forever(paramiko.Channel.sendall_stderr)),
    "death-midway": MisbehavingServer(answer=midway),
    "exit-255": MisbehavingServer(answer=exits(255)),
    "no-exit-status": MisbehavingServer(answer=paramiko.Channel.close),
    "binary": MisbehavingServer(answer=lambda channel: channel.sendall(bytes(range(256)) * 64)),
    "markup": MisbehavingServer(
        answer=lambda channel: channel.sendall(b"<script>alert(1)</script>\x1b[31mred\x1b]0;title\x07\r\n")
    ),
    "unknown-key": MisbehavingServer(),
    "wrong-key": MisbehavingServer(),
}

FORCED = {"cut": "/bin/sh -s | head -c 300", "stderr-first": "head -c 4194304 /dev/zero >&2; exec /bin/sh -s"}
"""What a real sshd runs in place of the probe. The second is no reason to fail: nothing is too much yet."""

ERRORS = {
    "silent": "it does not complete SSH's key exchange within 5 s (--connect-timeout)",
    "closes": "it closed the connection before the SSH key exchange",
    "endless-banner": "the SSH key exchange failed",
    "endless-line": "the SSH key exchange failed (it sends more than 65536 bytes before it speaks SSH)",
    "byte-a-second": "it does not complete SSH's key exchange within 5 s (--connect-timeout)",
    "hang-at-login": "it does not decide on the login of root within 5 s (--connect-timeout)",
    "hang-at-execution": "no complete answer within 6 s (--probe-timeout)",
    "channel-refused": "the target does not run a command",
    "execution-refused": "the target does not run a command",
    "endless-stdout": "it wrote more than 4194304 bytes to standard output, and was closed",
    "endless-stderr": "it wrote more than 4194304 bytes to standard error, and was closed",
    "death-midway": "the connection broke before the answer was complete",
    "exit-255": "the answer is empty (exit status 255)",
    "no-exit-status": "the answer is empty (no exit status)",
    "binary": "the answer is not the probe's; it starts with",
    "markup": "the answer is not the probe's; it starts with '<script>",
    "unknown-key": "is unknown. Once the fingerprint is verified, accept it with: echo ",
    "wrong-key": "is not the one in",
    "cut": "is not in the evidence: the answer ended in",
}


@dataclass
class Measured:
    run: SuiteRun
    seconds: float
    peak: int
    """Bytes of memory that the suite's process took at most."""


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """Start every misbehaving server."""
    with ExitStack() as stack:
        ports = {name: stack.enter_context(server).port for name, server in WITH_SSH.items()}
        for name, speech in BEFORE_SSH.items():
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=speak_to_all, args=(listener, speech), daemon=True).start()
            ports[name] = listener.getsockname()[1]
        yield ports


def speak_to_all(listener: socket.socket, speech: Speech) -> None:
    visitors: list[socket.socket] = []
    with suppress(OSError):
        while True:
            visitors.append(listener.accept()[0])
            threading.Thread(target=quietly, args=(speech, visitors[-1]), daemon=True).start()
    for visitor in visitors:
        visitor.close()


def quietly(speech: Speech, visitor: socket.socket) -> None:
    with suppress(OSError):
        speech(visitor)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, start_sshd: SshdFactory, ports: Mapping[str, int]) -> Path:
    """A folder with the inventory, and with the ssh_config that leads to everybody."""
    folder = tmp_path_factory.mktemp("fleet")
    machine = start_sshd(prelude=PLAIN_GUEST, settings=["MaxStartups 100"])
    identities = dict.fromkeys(HEALTHY, machine.identity) | force(machine, folder)
    lines = []
    for name, identity in identities.items():
        lines.append(f"Host {name}\nPort {machine.port}\nUser {machine.user}\nIdentityFile {identity}\n")
    lines += [f"Host {name}\nPort {port}\nIdentityFile {machine.identity}\n" for name, port in ports.items()]
    common = "User root\nHostName 127.0.0.1\nIdentitiesOnly yes\nGlobalKnownHostsFile none\n"
    lines.append(f"Host *\n{common}UserKnownHostsFile {folder}/known_hosts\n")
    (folder / "ssh_config").write_text("".join(lines))
    known = [server.known_hosts for name, server in WITH_SSH.items() if name not in {"unknown-key", "wrong-key"}]
    wrong = machine.known_hosts(f"[127.0.0.1]:{ports['wrong-key']}")
    (folder / "known_hosts").write_text("".join([machine.known_hosts(), wrong, *known]))
    hosts = "".join(f"  {name}: {{address: 'ssh://{name}', level: L1}}\n" for name in [*identities, *ports])
    (folder / "fleet.yaml").write_text(f"policy: {{nested: forbidden}}\nhosts:\n{hosts}")
    return folder


def force(machine: Sshd, folder: Path) -> dict[str, Path]:
    """Give each command that runs in place of the probe a key."""
    keys = {name: make_key(folder / name) for name in FORCED}
    lines = [public(machine.identity)]
    lines += [f'command="/bin/sh -c {shlex.quote(FORCED[name])}" {public(key)}' for name, key in keys.items()]
    (machine.directory / "authorized_keys").write_text("".join(f"{line}\n" for line in lines))
    return keys


def audit(folder: Path, reports: str, *words: str) -> Measured:
    options = [f"--inventory={folder}/fleet.yaml", f"--ssh-config={folder}/ssh_config", "--forks=64"]
    limits = [f"--connect-timeout={CONNECT}", f"--probe-timeout={PROBE}"]
    report_dir = folder / reports
    output, errors = folder / f"{reports}.out", folder / f"{reports}.err"
    start = time.monotonic()
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        command = measured(command_line(*options, *limits, *words, report_dir=report_dir), folder / f"{reports}.peak")
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            check=False,
        )
        seconds = time.monotonic() - start
    run = SuiteRun(ended.returncode, output.read_text(), errors.read_text(), report_dir)
    return Measured(run, seconds, bytes_in(folder / f"{reports}.peak"))


@pytest.fixture(scope="module")
def everybody(folder: Path) -> Measured:
    return audit(folder, "everybody")


@pytest.mark.parametrize("name", ERRORS)
def test_each_is_one_clear_error(everybody: Measured, name: str) -> None:
    run = everybody.run
    assert set(run.outcomes(name).values()) == {"error", "notapplicable"}
    messages = {
        each["message"] for each in run.document["results"] if each["target"] == name and each["outcome"] == "error"
    }
    assert [ERRORS[name] in message for message in messages] == [True] * len(messages)
    assert len(messages) == 1 or name == "cut"
    assert all(message.isprintable() for message in messages)


def test_every_behaviour_was_there(everybody: Measured) -> None:
    names = {target["name"] for target in everybody.run.document["targets"]}
    assert names == {*HEALTHY, *BEFORE_SSH, *WITH_SSH, *FORCED}
    assert set(ERRORS) == names - {*HEALTHY, "stderr-first"}


def test_the_healthy_are_judged_as_if_alone(everybody: Measured, folder: Path) -> None:
    alone = audit(folder, "alone", "--hosts=healthy-*").run
    assert alone.status == 0
    healthy = [each for each in everybody.run.document["results"] if each["target"] in HEALTHY]
    assert alone.document["results"] == healthy != []
    assert {target["observed"] for target in alone.document["targets"]} == {True}


def test_much_standard_error_before_the_answer_is_no_error(everybody: Measured) -> None:
    assert everybody.run.outcomes("stderr-first") == everybody.run.outcomes(HEALTHY[0])


def test_the_run_ends_in_time(everybody: Measured) -> None:
    assert everybody.run.status == 6
    assert everybody.seconds < CONNECT + PROBE + SLACK


def test_the_controller_stays_small(everybody: Measured) -> None:
    assert everybody.peak < PEAK


def test_nothing_that_a_target_says_is_taken_for_more_than_text(everybody: Measured) -> None:
    assert "".join(everybody.run.text.split("\n")).isprintable()
    assert "<script>alert" not in everybody.run.html
