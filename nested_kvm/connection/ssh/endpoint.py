"""Where SSH is to go: an address, and what the ssh-config adds to it."""

import getpass
import re
from dataclasses import dataclass, replace

from nested_kvm.connection.base import DEFAULT_CONNECT_TIMEOUT, Settings
from nested_kvm.connection.ssh.config import SshConfig
from nested_kvm.connection.ssh.config_options import SshOptions
from nested_kvm.connection.ssh.host_keys import SSH_PORT
from nested_kvm.errors import ConnectionFailed, InventoryError
from nested_kvm.inventory.address import Address

_TOKEN = re.compile(r"%(.?)")
_HARMLESS = re.compile(r"[\w@.,:+/%=][\w@.,:+/%= -]*")
"""What may become part of a command line. OpenSSH refuses names with a shell's own characters too."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One machine. What the address says goes before the ssh-config, and that before the defaults."""

    name: str
    """How errors call it: its name in the inventory, or `jump host bastion`."""
    address: Address
    options: SshOptions
    settings: Settings
    """For this machine alone: what its address says behind `?` is in them."""
    settings_on_the_way: Settings
    """For its jump hosts: the run's, with the ssh-config that names them."""

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
        """The port of its sshd."""
        return self.address.port or self.options.port or SSH_PORT

    @property
    def user(self) -> str:
        """Who logs in."""
        return self.address.user or self.options.user or getpass.getuser()

    @property
    def where(self) -> str:
        """How every error of this way begins."""
        return f"{self.name} ({self.options.hostname} port {self.port})"

    @property
    def connect_timeout(self) -> float:
        """Seconds until it must have let us in."""
        return self.settings.connect_timeout or self.options.connect_timeout or DEFAULT_CONNECT_TIMEOUT

    def hops(self, trail: tuple[str, ...] = ()) -> "tuple[Endpoint, ...]":
        """Return the jump hosts that lead here, the nearest to us first.

        The first that the ssh-config names for this machine may have jump hosts of its own; the others are reached
        through the one before.

        Args:
            trail: the machines whose jump hosts are being looked for already.

        Raises:
            ConnectionFailed: they lead in a circle, or one is no address.
            UsageError: the ssh-config cannot be used.
        """
        trail = (*trail, self.address.host)
        jumps = self._jumps()
        if not jumps:
            return ()
        first = jumps[0].address.host
        if first in trail:
            raise ConnectionFailed(f"{self.where}: its jump hosts lead in a circle: {' → '.join((*trail, first))}")
        return (*jumps[0].hops(trail), *jumps)

    def proxy_command(self) -> str | None:
        """Return the ProxyCommand that leads here, for a shell.

        Raises:
            ConnectionFailed: it has a token that is not known, or a name has characters of the shell.
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
        """Put in what ssh_config(5) allows in both: `%h %n %p %r`."""
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
                raise ConnectionFailed(f"{self.where}: its {keyword} has {token[0]!r}, which is not known there")
            if not _HARMLESS.fullmatch(value):
                raise ConnectionFailed(f"{self.where}: {value!r} cannot stand in a {keyword}")
            return value

        return _TOKEN.sub(meaning, text)
