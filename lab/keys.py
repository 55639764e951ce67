"""Throwaway ssh keys, and the ssh_config and known_hosts with which strict host key checking works in the lab."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab.config import ADDRESS, HOST, LabConfig
from lab.guests import GUESTS, Guest
from lab.needs import program

CLIENT = "id_ed25519"
HOST_KEYS = "host-keys"


def make(path: Path, comment: str) -> None:
    """Make one ed25519 key pair without a passphrase."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def make_all(image: Path) -> None:
    """Make the client's key and a host key for the host and for every guest."""
    make(image / CLIENT, "lab")
    for name in machines():
        make(image / HOST_KEYS / name, name)


def machines() -> list[str]:
    """The machines with their own host keys."""
    return [HOST, *(guest.name for guest in GUESTS)]


def write_client_files(config: LabConfig) -> None:
    """Write ssh_config and known_hosts beside the image, for this port and directory."""
    config.known_hosts.write_text("\n".join(_known(config)) + "\n")
    config.ssh_config.write_text("\n".join(_configuration(config)))


def _known(config: LabConfig) -> Iterable[str]:
    """List each guest by its name and by its address: inventories use either."""
    yield f"{HOST},[{ADDRESS}]:{config.port} {_public(config, HOST)}"
    for guest in GUESTS:
        yield f"{guest.name},{guest.address} {_public(config, guest.name)}"


def _public(config: LabConfig, name: str) -> str:
    kind, key = (config.image / HOST_KEYS / f"{name}.pub").read_text().split()[:2]
    return f"{kind} {key}"


def _configuration(config: LabConfig) -> Iterable[str]:
    yield f"Host {HOST}\n  HostName {ADDRESS}\n  Port {config.port}\n  HostKeyAlias {HOST}\n"
    for guest in GUESTS:
        yield _guest_block(guest)
    yield (
        f"Host {HOST} 192.168.77.* {' '.join(guest.name for guest in GUESTS)}\n"
        f"  User root\n  IdentityFile {config.image / CLIENT}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {config.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n  PasswordAuthentication no\n  LogLevel ERROR\n"
    )


def _guest_block(guest: Guest) -> str:
    return f"Host {guest.name}\n  HostName {guest.address}\n  HostKeyAlias {guest.name}\n  ProxyJump {HOST}\n"
