"""Opens the connection to an address."""

from contextlib import suppress

from nested_kvm.connection.base import DEFAULT_CONNECT_TIMEOUT, Connection, Settings
from nested_kvm.connection.guest_agent import GuestAgentConnection
from nested_kvm.connection.ssh.config import SshConfig
from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.connection.ssh.connector import SshConnector
from nested_kvm.connection.ssh.endpoint import Endpoint
from nested_kvm.connection.ssh.passphrases import check_identity_file
from nested_kvm.connection.testinfra_backends import BackendConnection, LocalConnection, connect_by_backend
from nested_kvm.errors import ConnectionFailed, NestedKvmError
from nested_kvm.inventory.address import Address


def connect(
    address: Address,
    settings: Settings,
    *,
    name: str,
    via: Connection | None = None,
    connector: SshConnector | None = None,
) -> Connection:
    """Open a connection to a target. Safe to call from many threads.

    Args:
        address: its address. Its options override the ssh-config, and that the defaults.
        settings: the command line's options.
        name: the target's name in the inventory, for errors and pytest's ids.
        via: the L0's own connection: the guest is reached through it, without another login on the L0, and
            its key is looked up under `name` first, since many L0s have guests with the same address.
        connector: keeps the connections to jump hosts; without it they serve this target alone, and are closed with it.

    Raises:
        ConnectionFailed: the target is unreachable.
        HostKeyRejected: it is not known to be the machine that it claims to be.
        LoginRejected: it refuses every credential.
        UsageError: the ssh-config cannot be used.
    """
    if not address.is_ssh:
        return connect_by_backend(address, settings, name)
    if via is not None and not isinstance(via, LocalConnection | SshConnection):
        kind = via.kind if isinstance(via, BackendConnection) else "agent"
        raise ConnectionFailed(f"{name}: it cannot be reached through {via.name}, which is reached by {kind}://")
    through = via if isinstance(via, SshConnection) else None
    if connector is not None:
        return connector.connect(address, name, via=through, behind_host=via is not None)
    return _connect_alone(address, settings, name, through, behind_host=via is not None)


def _connect_alone(
    address: Address, settings: Settings, name: str, via: SshConnection | None, *, behind_host: bool
) -> SshConnection:
    connector = SshConnector(settings)
    try:
        connection = connector.connect(address, name, via=via, behind_host=behind_host)
    except BaseException:
        connector.close()
        raise
    connection.when_closed = connector.close
    return connection


def connect_by_agent(host: Connection, uri: str, domain: str, settings: Settings, name: str) -> GuestAgentConnection:
    """Return a connection to a guest through its agent, by the libvirt at `uri` on its host; nothing is sent yet.

    Raises:
        ConnectionFailed: the URI names another host.
    """
    if not uri.partition("://")[2].startswith("/"):
        raise ConnectionFailed(
            f"{name}: its guest agent must be queried on its host, but {uri} connects from there to another"
        )
    return GuestAgentConnection(name, host, uri, domain, settings)


def connect_limit(address: Address, settings: Settings) -> float:
    """Return the seconds within which `connect` succeeds or fails, jump hosts included."""
    if address.is_ssh:
        with suppress(NestedKvmError):  # connecting reports the problem, at once
            end = Endpoint.of(address, settings, address.host)
            return sum(each.connect_timeout for each in (end, *end.hops()))
    return settings.connect_timeout or DEFAULT_CONNECT_TIMEOUT


def check_settings(settings: Settings) -> None:
    """Check the options before anything is connected to.

    Raises:
        UsageError: the ssh-config or the identity file cannot be used.
    """
    SshConfig.load(settings.ssh_config)
    check_identity_file(settings)
