"""From an address to a connection."""

from nested_kvm.connection.backends import BackendConnection, LocalConnection, connect_by_backend
from nested_kvm.connection.connection import Settings
from nested_kvm.connection.credentials import check_identity_file
from nested_kvm.connection.ssh import SshConnection, connect_by_ssh
from nested_kvm.connection.ssh_config import SshConfig
from nested_kvm.errors import ConnectionFailed
from nested_kvm.inventory.address import Address

AnyConnection = SshConnection | BackendConnection


def connect(address: Address, settings: Settings, *, name: str, via: AnyConnection | None = None) -> AnyConnection:
    """Open a connection to a target. Safe to call from many threads.

    Args:
        address: where it is. What it says goes before the ssh-config, and that before the defaults.
        settings: the command line's options.
        name: the target's name in the inventory; it stands in every error and in pytest's ids.
        via: the L0's own connection: the guest is reached through it, without another login on the L0, and
            its key is looked up under `name` first, since many L0s have guests with the same address.

    Raises:
        ConnectionFailed: there is no way to the target.
        HostKeyRejected: it is not known to be the machine that it claims to be.
        LoginRejected: it does not let us in.
        UsageError: the ssh-config cannot be used.
    """
    if not address.is_ssh:
        return connect_by_backend(address, settings, name)
    settings = settings.for_address(address)
    if via is None or isinstance(via, LocalConnection):
        return connect_by_ssh(address, settings, name, via=None, behind_host=via is not None)
    if isinstance(via, SshConnection):
        return connect_by_ssh(address, settings, name, via=via, behind_host=True)
    raise ConnectionFailed(f"{name}: there is no way through {via.name}, which is reached by {via.kind}://")


def check_settings(settings: Settings) -> None:
    """Find out what is wrong with the options before anything is connected to.

    Raises:
        UsageError: the ssh-config or the identity file cannot be used.
    """
    SshConfig.load(settings.ssh_config)
    check_identity_file(settings)
