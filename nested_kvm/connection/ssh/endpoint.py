"""The endpoint of an SSH connection: an address with its options from the ssh-config."""

import getpass
import re
from dataclasses import dataclass, replace

from nested_kvm.connection.base import DEFAULT_CONNECT_TIMEOUT, Settings
from nested_kvm.connection.ssh.config import SshConfig
from nested_kvm.connection.ssh.config_options import SshOptions
from nested_kvm.connection.ssh.host_key_check import SSH_PORT
from nested_kvm.errors import ConnectionFailed, InventoryError
from nested_kvm.inventory.address import Address

_TOKEN = re.compile(r"%(.?)")
_HARMLESS = re.compile(r"[\w@.,:+/%=][\w@.,:+/%= -]*")
"""What may be inserted into a command line. OpenSSH refuses names with shell metacharacters too."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One machine. Its address overrides the ssh-config, and that the defaults."""

    name: str
    """The machine's name in errors: the one in the inventory, or `jump host bastion`."""
    address: Address
    options: SshOptions
    settings: Settings
    """The settings for this machine alone, with the options of its address."""
    settings_on_the_way: Settings
    """The settings for its jump hosts: the run's, with the ssh-config that names them."""

    @classmethod
    def of(cls, address: Address, settings: Settings, name: str) -> "Endpoint":
        """Look an address up in the ssh-config.

        Raises:
            UsageError: the ssh-config cannot be used.
        """
        own = settings.for_address(address)
        options = SshConfig.load(own.ssh_config).lookup(address.host)
        return cls(name, address, options, own, replace(settings, ssh_config=own.ssh_config))

    @property
    def port(self) -> int:
        """The port of the machine's sshd."""
        return self.address.port or self.options.port or SSH_PORT

    @property
    def user(self) -> str:
        """The user to log in as."""
        return self.address.user or self.options.user or getpass.getuser()

    @property
    def where(self) -> str:
        """The prefix of every error of this connection."""
        return f"{self.name} ({self.options.hostname} port {self.port})"

    @property
    def connect_timeout(self) -> float:
        """The time limit for connecting and logging in, in seconds."""
        return self.settings.connect_timeout or self.options.connect_timeout or DEFAULT_CONNECT_TIMEOUT

    def hops(self, trail: tuple[str, ...] = ()) -> "tuple[Endpoint, ...]":
        """Return the jump hosts to this machine, the first one first.

        The first that the ssh-config names for this machine may itself have jump hosts; the others are reached
        through the one before.

        Args:
            trail: the machines whose jump hosts are being resolved.

        Raises:
            ConnectionFailed: they form a loop, or one is not a valid address.
            UsageError: the ssh-config cannot be used.
        """
        trail = (*trail, self.address.host)
        jumps = self._jumps()
        if not jumps:
            return ()
        first = jumps[0].address.host
        if first in trail:
            raise ConnectionFailed(f"{self.where}: its jump hosts form a loop: {' → '.join((*trail, first))}")
        return (*jumps[0].hops(trail), *jumps)

    def proxy_command(self) -> str | None:
        """Return the ProxyCommand for this machine, expanded, for a shell.

        Raises:
            ConnectionFailed: it has an unsupported token, or a name has shell metacharacters.
        """
        command = self.options.proxy_command
        return None if command is None else self._expanded(command, "ProxyCommand")

    def _jumps(self) -> "list[Endpoint]":
        text = self._expanded(self.options.proxy_jump or "", "ProxyJump")
        return [self._jump(each.strip()) for each in text.split(",") if each.strip()]

    def _jump(self, text: str) -> "Endpoint":
        try:
            address = Address.parse(text)
        except InventoryError as error:
            raise ConnectionFailed(f"{self.where}: its ProxyJump: {error}") from None
        if not address.is_ssh:
            raise ConnectionFailed(f"{self.where}: its ProxyJump {text!r} is reached by {address.scheme}, not by SSH")
        return Endpoint.of(address, self.settings_on_the_way, f"jump host {address.host}")

    def _expanded(self, text: str, keyword: str) -> str:
        """Expand the tokens that ssh_config(5) allows in both keywords: `%h %n %p %r`."""
        names = {
            "h": self.options.hostname,
            "n": self.address.host,
            "p": str(self.port),
            "r": self.user,
            "%": "%",
        }

        def meaning(token: re.Match[str]) -> str:
            value = names.get(token[1])
            if value is None:
                raise ConnectionFailed(f"{self.where}: its {keyword} has {token[0]!r}, which is not supported")
            if not _HARMLESS.fullmatch(value):
                raise ConnectionFailed(f"{self.where}: {value!r} is not allowed in a {keyword}")
            return value

        return _TOKEN.sub(meaning, text)
