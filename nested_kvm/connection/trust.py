"""Whether a host is the machine that it claims to be."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from nested_kvm.connection.known_hosts import KnownHosts, KnownKey
from nested_kvm.connection.ssh_options import SshOptions
from nested_kvm.errors import HostKeyRejected

SSH_PORT = 22

_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}  # RFC 8332: the key's type is not the algorithm's name


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known about one host's key.

    The first of `names` that has keys decides. Where none has, the key of a `fallback` may still confirm,
    as OpenSSH does for a port that is not 22 (sshconnect.c, check_host_key).
    """

    names: tuple[str, ...]
    fallbacks: tuple[str, ...]
    known: KnownHosts
    accept_unknown: bool
    file: Path
    """Where a key that was verified belongs."""

    @classmethod
    def of(cls, options: SshOptions, port: int, *, inventory_name: str | None) -> "Trust":
        """Gather what is known. `inventory_name` comes first where addresses are not unique: behind an L0."""
        files = (*options.user_known_hosts, *options.global_known_hosts)
        names, fallbacks = _names(options, port, inventory_name)
        file = next(iter(options.user_known_hosts), Path("~/.ssh/known_hosts"))
        return cls(names, fallbacks, KnownHosts.load(files), options.accept_unknown_host_key, file)

    def prefer_known_types(self, algorithms: Sequence[str]) -> list[str]:
        """Order host key algorithms: those first by which the host can prove itself with a known key."""
        types = [key.key_type for key in self._deciding() or self._confirming()]
        known = [name for key_type in types for name in _SIGNATURES.get(key_type, (key_type,)) if name in algorithms]
        return list(dict.fromkeys([*known, *algorithms]))

    def check(self, key: paramiko.PKey, where: str) -> None:
        """Accept the key that the machine at `where` proved to hold.

        Raises:
            HostKeyRejected: it is revoked, contradicts known_hosts, or is unknown; the message says
                what to do.
        """
        offered = key.asbytes()
        revocation = self.known.revocation((*self.names, *self.fallbacks), offered)
        if revocation is not None:
            raise HostKeyRejected(f"{where}: its host key {_describe(key)} is revoked by {revocation.source}")
        deciding = self._deciding()
        if deciding and not _contains(deciding, offered):
            raise HostKeyRejected(self._changed(key, deciding, where))
        if not deciding and not _contains(self._confirming(), offered) and not self.accept_unknown:
            raise HostKeyRejected(self._unknown(key, where))

    def _deciding(self) -> list[KnownKey]:
        keys = (self.known.keys_of(name) for name in self.names)
        return next((found for found in keys if found), [])

    def _confirming(self) -> list[KnownKey]:
        return [key for name in self.fallbacks for key in self.known.keys_of(name)]

    def _changed(self, key: paramiko.PKey, deciding: list[KnownKey], where: str) -> str:
        known = deciding[0]
        name = next(name for name in self.names if self.known.keys_of(name))
        return (
            f"{where}: its host key {_describe(key)} is not the one in {known.source}: "
            "it may be another machine. If it was set up anew, forget the old key with: "
            f"ssh-keygen -R {shlex.quote(name)} -f {shlex.quote(known.source.rpartition(':')[0])}"
        )

    def _unknown(self, key: paramiko.PKey, where: str) -> str:
        authority = " (certificates of hosts are not supported yet)" if self._has_authority() else ""
        line = f"{self.names[0]} {key.get_name()} {key.get_base64()}"
        return (
            f"{where}: its host key {_describe(key)} is unknown{authority}. "
            f"Once the fingerprint is verified, accept it with: "
            f"echo {shlex.quote(line)} >> {shlex.quote(str(self.file))}"
        )

    def _has_authority(self) -> bool:
        return any(self.known.has_authority(name) for name in (*self.names, *self.fallbacks))


def _names(options: SshOptions, port: int, inventory_name: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if options.host_key_alias is not None:
        return (options.host_key_alias,), ()
    host = options.hostname
    own = (inventory_name,) if inventory_name is not None else ()
    if port == SSH_PORT:
        return (*own, host), ()
    return (*own, f"[{host}]:{port}"), (host,)


def _contains(keys: Iterable[KnownKey], offered: bytes) -> bool:
    return any(key.key == offered for key in keys)


def _describe(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"
