"""Opens SSH connections: directly, through an L0's connection, through jump hosts, or by a ProxyCommand."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nested_kvm.connection.base import Settings
from nested_kvm.connection.deadline import Deadline
from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.connection.ssh.credentials import Credentials
from nested_kvm.connection.ssh.endpoint import Endpoint
from nested_kvm.connection.ssh.host_key_check import Trust
from nested_kvm.connection.ssh.paramiko_channel import Carrier, Transport
from nested_kvm.connection.ssh.proxy_command import ProxyCommand
from nested_kvm.connection.ssh.transport import ConnectionDropped, StartupRefused, agree_on_keys, dial, log_in
from nested_kvm.errors import ConnectionFailed, HostKeyRejected, ObservationError
from nested_kvm.inventory.address import Address

_PAUSE = (0.3, 1.3)
"""The range of seconds before the second try; random, so that many dropped connections do not return at once."""


@dataclass
class _JumpHost:
    lock: threading.Lock = field(default_factory=threading.Lock)
    outcome: SshConnection | ObservationError | None = None


JumpPath = tuple[tuple[str, Settings], ...]
"""The jump hosts in order, each with its settings: another ssh-config may mean another machine."""


class SshConnector:
    """Opens SSH connections. Each jump host is logged in to once, for all targets behind it. Safe in threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._jump_hosts: dict[JumpPath, _JumpHost] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self.when_refused: Callable[[], None] = _nothing
        """Called for each connection that was closed before SSH began."""

    def connect(
        self, address: Address, name: str, *, via: SshConnection | None = None, behind_host: bool = False
    ) -> SshConnection:
        """Open a connection to a target. See `connect`."""
        end = Endpoint.of(address, self._settings, name)
        if behind_host:
            return _open(end, via, self.when_refused, inventory_name=name)
        return _open(end, self._through(end), self.when_refused)

    def close(self) -> None:
        """Close the connections to all jump hosts for good, also those that are being opened."""
        self._is_closed = True
        with self._lock:
            jump_hosts = list(self._jump_hosts.values())
        for each in jump_hosts:
            if isinstance(each.outcome, SshConnection):
                each.outcome.close()

    def _through(self, end: Endpoint) -> SshConnection | None:
        via: SshConnection | None = None
        key: JumpPath = ()
        for hop in end.hops():
            key = (*key, (f"{hop.user}@{hop.address.host}:{hop.port}", hop.settings))
            try:
                via = self._jump_host(key, hop, via)
            except ObservationError as error:
                raise ConnectionFailed(f"{end.where}: unreachable: {error}") from None
        return via

    def _jump_host(self, key: JumpPath, hop: Endpoint, via: SshConnection | None) -> SshConnection:
        with self._lock:
            jump_host = self._jump_hosts.setdefault(key, _JumpHost())
        with jump_host.lock:
            if jump_host.outcome is None:
                jump_host.outcome = _tried(hop, via, self.when_refused)
        if isinstance(jump_host.outcome, ObservationError):
            raise jump_host.outcome
        if self._is_closed:
            jump_host.outcome.close()
        return jump_host.outcome


def _nothing() -> None:
    """Take no note of it."""


def _tried(
    end: Endpoint, via: SshConnection | None, when_refused: Callable[[], None]
) -> SshConnection | ObservationError:
    try:
        return _open(end, via, when_refused)
    except ObservationError as error:
        return error


def _open(
    end: Endpoint, via: SshConnection | None, when_refused: Callable[[], None], inventory_name: str | None = None
) -> SshConnection:
    """Connect, verify the host and log in. A refused or dropped connection is tried once more."""
    deadline = Deadline(end.connect_timeout)
    try:
        transport = _agree(end, via, deadline, inventory_name)
    except ConnectionDropped as error:
        if isinstance(error, StartupRefused):
            when_refused()
        pause = random.uniform(*_PAUSE)  # noqa: S311  # no secret
        if pause > deadline.remaining / 2:
            raise
        time.sleep(pause)
        transport = _agree(end, via, deadline, inventory_name)
    log_in(transport, end.user, Credentials.of(end.options, end.settings), deadline, end.where)
    return SshConnection(end.name, end.address.host, transport, end.settings)


def _agree(end: Endpoint, via: SshConnection | None, deadline: Deadline, inventory_name: str | None) -> Transport:
    trust = Trust.of(end.options, end.port, inventory_name=inventory_name)
    stream = _stream(end, via, deadline, behind_host=inventory_name is not None)
    try:
        return agree_on_keys(stream, trust, deadline, end.where)
    except ConnectionFailed as error:
        if isinstance(stream, ProxyCommand) and not isinstance(error, HostKeyRejected):
            printed = f"printed: {stream.complaint()}" if stream.complaint() else "printed no error"
            raise ConnectionFailed(f"{error}; its ProxyCommand {printed}") from None
        raise


def _stream(end: Endpoint, via: SshConnection | None, deadline: Deadline, *, behind_host: bool) -> Carrier:
    host, port = end.options.hostname, end.port
    if via is not None:
        return via.forward(host, port, deadline, end.where)
    command = None if behind_host else end.proxy_command()
    if command is None:
        return dial(host, port, deadline, end.where)
    try:
        return ProxyCommand(command)
    except OSError as error:
        raise ConnectionFailed(f"{end.where}: its ProxyCommand cannot be started ({error.strerror})") from None
