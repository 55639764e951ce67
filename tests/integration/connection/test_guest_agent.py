"""Guests through their agent: a real qemu-ga answers, behind what stands for virsh on a real sshd."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from nested_kvm.connection import Settings, connect, connect_by_agent
from nested_kvm.connection.guest_agent import GuestAgentConnection
from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.errors import AnswerUnusable, ConnectionFailed, LimitExceeded, NotAllowed
from nested_kvm.util.text import LINE_SHOWN
from tests.support.guest_agent import AgentSite, start_guest, start_site
from tests.support.sshd import Sshd, SshdFactory

pytestmark = pytest.mark.needs("sshd", "accounts", "qemu-ga")

SMALL = 200_000


@pytest.fixture(scope="module")
def site(start_sshd: SshdFactory) -> AgentSite:
    site = start_site(start_sshd)
    start_guest(start_sshd, site, "ci-1")
    start_guest(start_sshd, site, "closed", "-b", "guest-exec")
    return site


@pytest.fixture
def host(site: AgentSite) -> Iterator[SshConnection]:
    with closing(connect(site.host.address(), site.host.client(), name="kvm-a")) as host:
        assert isinstance(host, SshConnection)
        yield host


def by_agent(host: SshConnection, domain: str = "ci-1", **settings: float) -> GuestAgentConnection:
    defaults = {"probe_timeout": 10.0} | settings
    return connect_by_agent(host, "qemu:///system", domain, Settings(**defaults), name=domain)  # type: ignore[arg-type]


def test_a_script_runs_as_root_in_the_guest(host: SshConnection) -> None:
    script = 'id -u; grep -c hypervisor /proc/cpuinfo; echo "$1" >&2; exit 7'
    answer = by_agent(host).execute(script, "it's \u00fc")
    assert (answer.exit_status, answer.stdout, answer.stderr) == (7, b"0\n2\n", "it's \u00fc\n".encode())


def test_bytes_come_as_they_are(host: SshConnection) -> None:
    answer = by_agent(host).execute(r"printf '\000\377\033'; kill -9 $$")
    assert (answer.exit_status, answer.stdout) == (None, b"\0\xff\x1b")


def test_testinfra_sees_the_guest(host: SshConnection) -> None:
    connection = by_agent(host)
    assert connection.host.run("grep -c hypervisor /proc/cpuinfo").stdout == "2\n"
    assert connection.host.run("exit 3").rc == 3
    assert connection.host.backend.get_pytest_id() == "ci-1"


def test_many_guests_are_asked_at_once_within_sshds_max_sessions(site: AgentSite, host: SshConnection) -> None:
    logins = site.host.logins

    def ask(number: int) -> bytes:
        return by_agent(host).execute("sleep 0.2; echo $1", str(number)).stdout

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(ask, range(24))) == [f"{number}\n".encode() for number in range(24)]
    assert site.host.logins == logins


def test_where_commands_are_disabled_it_says_how_to_allow_them(host: SshConnection) -> None:
    with pytest.raises(NotAllowed) as caught:
        by_agent(host, "closed").execute("true")
    text = str(caught.value)
    assert text.startswith("closed: its guest agent runs no commands: allow guest-exec and guest-exec-status in its ")
    assert "/etc/qemu/qemu-ga.conf (block-rpcs, allow-rpcs) or /etc/sysconfig/qemu-ga" in text
    assert text.endswith("(Command guest-exec has been disabled)")
    assert len(text) < LINE_SHOWN


@pytest.mark.parametrize(
    ("complaint", "reason"),
    [
        ("Guest agent is not responding: QEMU guest agent is not connected", "systemctl enable --now qemu-guest-agent"),
        ("argument unsupported: QEMU guest agent is not configured", "virt-xml 'a b' --add-device"),
        ("Requested operation is not valid: domain is not running", "it is not running .*virsh start 'a b'"),
        ("Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied", "the group libvirt"),
        ("sh: 3: virsh: not found", "its host has no virsh.*libvirt-clients"),
        ("operation forbidden: read only access prevents virDomainQemuAgentCommand", "the group libvirt"),
        ("<script>\x1b[31mred", r"kvm-a cannot query its guest agent \(<script> \[31mred\)"),
    ],
)
def test_what_cannot_be_asked_is_an_error_with_the_remedy(
    site: AgentSite, host: SshConnection, complaint: str, reason: str
) -> None:
    site.add_refusal("a b", complaint)
    with pytest.raises(ConnectionFailed, match=reason) as caught:
        by_agent(host, "a b").execute("true")
    assert str(caught.value).isprintable()
    assert host.execute("echo alive").stdout == b"alive\n"


def test_a_domain_that_is_not_there_is_an_error(host: SshConnection) -> None:
    with pytest.raises(ConnectionFailed, match=r"its host has no such domain .*virsh list --all"):
        by_agent(host, "gone").execute("true")


def test_a_name_that_virsh_takes_for_an_id_is_refused(host: SshConnection) -> None:
    with pytest.raises(ConnectionFailed, match="virsh takes the name 101 for an id: use the domain's uuid"):
        by_agent(host, "101")


def test_a_libvirt_that_is_elsewhere_is_no_way(host: SshConnection) -> None:
    with pytest.raises(ConnectionFailed, match=r"qemu\+ssh://other/system connects from there to another"):
        connect_by_agent(host, "qemu+ssh://other/system", "ci-1", Settings(), name="ci-1")


def test_a_guest_that_hangs_ends_in_time_and_costs_nobody_else(host: SshConnection) -> None:
    guest = by_agent(host, probe_timeout=0.6)
    start = time.monotonic()
    with pytest.raises(LimitExceeded, match=r"ci-1: no complete answer within 0\.6 s"):
        guest.execute("sleep 100")
    assert time.monotonic() - start < 50
    with pytest.raises(ConnectionFailed, match="abandoned after a timeout"):
        guest.execute("true")
    assert by_agent(host).execute("echo alive").stdout == b"alive\n"


@pytest.mark.parametrize("kibibytes", [200, 20_000])
def test_a_guest_that_floods_costs_nobody_else(host: SshConnection, kibibytes: int) -> None:
    with pytest.raises(LimitExceeded, match="ci-1: it wrote more than its agent may return"):
        by_agent(host, answer_limit=SMALL).execute(f"head -c {kibibytes}K /dev/zero")
    assert by_agent(host).execute("echo alive").stdout == b"alive\n"
    assert host.execute("echo alive").stdout == b"alive\n"


@pytest.mark.parametrize(
    "answer",
    ["no JSON", "[]", "{}", '{"return": 1}', '{"return": {}}', '{"return": {"pid": "<b>"}}', "[" * 100_000],
)
def test_an_agent_that_lies_is_an_error(liar: Sshd, answer: str) -> None:
    liar.add_program("virsh", f"#!/bin/sh\ncat {liar.directory}/answer\n")
    Path(liar.directory, "answer").write_text(answer)
    text = complaint_about(liar)
    assert text.startswith("ci-1: its agent's answer cannot be used: it ")
    assert len(text) < 300


def test_output_that_is_no_base64_is_an_error(liar: Sshd) -> None:
    answer = json.dumps({"return": {"pid": 1, "exited": True, "exitcode": 0, "out-data": "***"}})
    liar.add_program("virsh", f"#!/bin/sh\nprintf %s '{answer}'\n")
    assert complaint_about(liar) == "ci-1: its agent's answer cannot be used: its out-data is not base64"


@pytest.fixture(scope="module")
def liar(start_sshd: SshdFactory) -> Sshd:
    """A host whose guests' agents say what they like."""
    return start_sshd()


def complaint_about(liar: Sshd) -> str:
    with closing(connect(liar.address(), liar.client(), name="kvm-b")) as host:
        assert isinstance(host, SshConnection)
        with pytest.raises(AnswerUnusable) as caught:
            by_agent(host).execute("true")
    return str(caught.value)
