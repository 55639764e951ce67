import gc
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from nested_kvm.connection import connect, libvirt_tunnel
from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.errors import ConnectionFailed, UsageError
from tests.support.sshd import Sshd, SshdFactory
from tests.support.threads import threads_have_ended

pytestmark = pytest.mark.needs("sshd", "libvirtd", "libvirt-python")

LIBVIRTD = """\
for directory in /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
    mkdir -p "$directory"
    mount -t tmpfs none "$directory"
done
printf 'auth_unix_ro = "none"\\n' >/run/libvirtd.conf
libvirtd --daemon --config /run/libvirtd.conf
until test -S /run/libvirt/libvirt-sock-ro; do sleep 0.02; done
"""
"""A daemon of the machine's own: its state and its sockets are in the sshd's namespaces."""


@pytest.fixture(scope="module")
def libvirt() -> Any:
    """libvirt-python, which prints each error to stderr unless told otherwise."""
    module = import_module("libvirt")
    module.registerErrorHandler(lambda _context, _error: None, None)
    return module


@pytest.fixture(scope="module")
def hypervisor(start_sshd: SshdFactory) -> Sshd:
    return start_sshd(prelude=LIBVIRTD)


def reach(sshd: Sshd, **settings: object) -> SshConnection:
    connection = connect(sshd.address(), sshd.client(**settings), name="kvm-a")  # type: ignore[arg-type]
    assert isinstance(connection, SshConnection)
    return connection


@pytest.fixture
def connection(hypervisor: Sshd) -> Iterator[SshConnection]:
    with closing(reach(hypervisor)) as connection:
        yield connection


def domains(libvirt: Any, uri: str) -> list[str]:
    with closing(libvirt.openReadOnly(uri)) as hypervisor:
        return [domain.name() for domain in hypervisor.listAllDomains()]


def test_libvirt_answers_over_the_connection_that_carries_the_probe(libvirt: Any, hypervisor: Sshd) -> None:
    before = hypervisor.logins, hypervisor.executions
    with closing(reach(hypervisor)) as connection:
        assert connection.execute("echo probe").stdout == b"probe\n"
        with libvirt_tunnel(connection, "test:///default") as tunnel:
            assert domains(libvirt, tunnel.uri) == ["test"]
    assert (hypervisor.logins, hypervisor.executions) == (before[0] + 1, before[1] + 2)


def test_the_systems_own_driver_answers_too(libvirt: Any, connection: SshConnection) -> None:
    with libvirt_tunnel(connection) as tunnel, closing(libvirt.openReadOnly(tunnel.uri)) as hypervisor:
        assert hypervisor.getType() == "QEMU"
        assert hypervisor.getURI().startswith("qemu")


def test_a_read_only_tunnel_changes_nothing(libvirt: Any, connection: SshConnection) -> None:
    with (
        libvirt_tunnel(connection, "test:///default") as tunnel,
        closing(libvirt.open(tunnel.uri)) as hypervisor,
        pytest.raises(libvirt.libvirtError) as caught,
    ):
        hypervisor.lookupByName("test").destroy()
    assert caught.value.get_error_code() == libvirt.VIR_ERR_OPERATION_DENIED


def test_an_older_target_is_reached_by_netcat(libvirt: Any, start_sshd: SshdFactory) -> None:
    older = start_sshd(prelude=f"{LIBVIRTD}\nmount --bind /dev/null /usr/bin/virt-ssh-helper")
    with closing(reach(older)) as connection:
        assert connection.execute("command -v virt-ssh-helper").exit_status != 0
        with libvirt_tunnel(connection, "test:///default") as tunnel:
            assert domains(libvirt, tunnel.uri) == ["test"]


def test_the_socket_is_private_and_removed(connection: SshConnection) -> None:
    with libvirt_tunnel(connection) as tunnel:
        path = Path(parse_qs(urlsplit(tunnel.uri).query)["socket"][0])
        assert stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IRWXU
    assert not path.parent.exists()


def test_a_target_without_libvirt_says_so(libvirt: Any, start_sshd: SshdFactory) -> None:
    with closing(reach(start_sshd())) as connection, libvirt_tunnel(connection) as tunnel:
        with pytest.raises(libvirt.libvirtError):
            libvirt.openReadOnly(tunnel.uri)
        assert "/run/libvirt" in tunnel.complaint()


@pytest.mark.parametrize(
    "helper",
    ["exec sleep 100", r"printf '\0\1\0\0'; while sleep 0.1; do printf x; done"],
    ids=["silent", "a byte at a time"],
)
def test_a_target_that_does_not_answer_ends_libvirts_call_in_time(
    libvirt: Any, start_sshd: SshdFactory, helper: str
) -> None:
    sshd = start_sshd()
    sshd.add_program("virt-ssh-helper", f"#!/bin/sh\n{helper}\n")
    with closing(reach(sshd, probe_timeout=0.7)) as connection, libvirt_tunnel(connection) as tunnel:
        start = time.monotonic()
        with pytest.raises(libvirt.libvirtError):
            libvirt.openReadOnly(tunnel.uri)
        assert 0.4 < time.monotonic() - start < 30


def test_nothing_is_left_of_a_tunnel(libvirt: Any, connection: SshConnection) -> None:
    gc.collect()
    before = threading.enumerate()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with libvirt_tunnel(connection, "test:///default"):
        pass
    with libvirt_tunnel(connection, "test:///default") as tunnel:
        assert domains(libvirt, tunnel.uri) == ["test"]
    gc.collect()
    assert threads_have_ended(before)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_connection_that_is_closed_opens_no_tunnel(hypervisor: Sshd) -> None:
    connection = reach(hypervisor)
    connection.close()
    with (
        pytest.raises(ConnectionFailed, match="kvm-a: the connection was closed"),
        libvirt_tunnel(connection),
    ):
        pass


@pytest.mark.parametrize("uri", ["qemu+ssh://kvm-b/system", "qemu", "a b:///system", ""])
def test_only_a_drivers_own_uri_is_taken(connection: SshConnection, uri: str) -> None:
    with pytest.raises(UsageError, match="is not a libvirt URI"), libvirt_tunnel(connection, uri):
        pass
