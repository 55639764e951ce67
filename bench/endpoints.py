"""The addresses of the hosts, and the ssh files that reach them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROXY_PORT: Final = 22
DIRECT_PORT: Final = 2222
_IN_A_NET: Final = 250


def addresses(hosts: int) -> tuple[str, ...]:
    """Return so many addresses of loopback: 127.1.0.1, 127.1.0.2 and so on."""
    return tuple(f"127.1.{number // _IN_A_NET}.{number % _IN_A_NET + 1}" for number in range(hosts))


@dataclass(frozen=True, slots=True)
class Sites:
    """The hosts, and the folder with the files that lead to them; `direct` is past the round trip."""

    folder: Path
    hosts: tuple[str, ...]
    rtt_ms: float

    @property
    def log(self) -> Path:
        """The log of the sshd."""
        return self.folder / "sshd" / "sshd.log"

    @property
    def identity(self) -> Path:
        """The key that every host lets in."""
        return self.folder / "identity"

    def port(self, *, direct: bool = False) -> int:
        """Return where a host listens."""
        return DIRECT_PORT if direct or not self.rtt_ms else PROXY_PORT

    def known_hosts(self, *, direct: bool = False) -> Path:
        """Return the file of host keys."""
        return self.folder / f"known_hosts{'_direct' * direct}"

    def ssh_config(self, *, direct: bool = False) -> Path:
        """Return the ssh_config that leads to any host."""
        return self.folder / f"ssh_config{'_direct' * direct}"

    def inventory(self, hosts: Sequence[str]) -> Path:
        """Write the audit's inventory of these hosts: no libvirt, no guests."""
        lines = [f"  {_name(host)}: {{address: 'ssh://root@{host}', libvirt: none}}\n" for host in hosts]
        return self._write("inventory.yaml", "hosts:\n" + "".join(lines))

    def ansible_inventory(self, hosts: Sequence[str]) -> Path:
        """Write Ansible's inventory of these hosts."""
        options = f"ansible_ssh_common_args='-F {self.ssh_config()}' ansible_user=root"
        lines = [f"{_name(host)} ansible_host={host} {options}\n" for host in hosts]
        return self._write("hosts.ini", "".join(lines))

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


def _name(host: str) -> str:
    return f"kvm-{host.removeprefix('127.').replace('.', '-')}"
