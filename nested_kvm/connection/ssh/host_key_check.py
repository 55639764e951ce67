"""Verifies the key of a host: known keys, certificate authorities and revocations."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from nested_kvm.connection.ssh.certificate import Certificate, CertificateUnusableError
from nested_kvm.connection.ssh.config_options import SshOptions
from nested_kvm.connection.ssh.known_hosts_file import KnownHosts, KnownKey
from nested_kvm.errors import HostKeyRejected

SSH_PORT = 22

_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}  # RFC 8332: the key's type is not the algorithm's name


@dataclass(frozen=True, slots=True)
class Trust:
    """The known keys of one host.

    The first of `names` that has keys decides. Where none has, the key of a `fallback` may still confirm,
    as OpenSSH does for a port that is not 22 (sshconnect.c, check_host_key).
    """

    names: tuple[str, ...]
    fallbacks: tuple[str, ...]
    principals: tuple[str, ...]
    """The names, without a port, that a certificate may be issued for."""
    inventory_name: str | None
    known: KnownHosts
    accept_unknown: bool
    wants_new_keys_recorded: bool
    file: Path
    """The file to add a verified key to."""

    @classmethod
    def of(cls, options: SshOptions, port: int, *, inventory_name: str | None) -> "Trust":
        """Load the known keys. `inventory_name` comes first where addresses are not unique: behind an L0."""
        files = (*options.user_known_hosts, *options.global_known_hosts)
        names, fallbacks = _names(options, port, inventory_name)
        file = next(iter(options.user_known_hosts), Path("~/.ssh/known_hosts"))
        return cls(
            names,
            fallbacks,
            _principals(options, inventory_name),
            inventory_name,
            KnownHosts.load(files),
            options.accept_unknown_host_key,
            options.wants_new_keys_recorded,
            file,
        )

    def prefer_known_types(self, algorithms: Sequence[str]) -> list[str]:
        """Sort host key algorithms: first those by which the host can prove a known key."""
        types = [key.key_type for key in self._deciding() or self._confirming()]
        known = [name for key_type in types for name in _SIGNATURES.get(key_type, (key_type,)) if name in algorithms]
        return list(dict.fromkeys([*known, *algorithms]))

    @property
    def authorities(self) -> list[KnownKey]:
        """The authorities of valid certificates. None where the inventory's name has keys: guests share addresses."""
        if self.inventory_name is not None and self.known.keys_of(self.inventory_name):
            return []
        return self.known.authorities((*self.names, *self.fallbacks))

    def check(self, key: paramiko.PKey, where: str) -> None:
        """Accept the key that the machine at `where` proved to hold, by itself or by a certificate for it.

        As in OpenSSH, an invalid certificate is no reason to refuse a known key.

        Raises:
            HostKeyRejected: it is revoked, differs from known_hosts, or is unknown; the message gives
                the next step.
        """
        offered = key.asbytes()
        certificate, problem = self._certificate(key)
        authority = () if certificate is None else (certificate.authority,)
        revocation = self.known.revocation((*self.names, *self.fallbacks), offered, *authority)
        if revocation is not None:
            whose = "its host key" if revocation.key == offered else "the authority of its host key"
            raise HostKeyRejected(f"{where}: {whose} {_describe(key)} is revoked by {revocation.source}")
        if certificate is not None and not problem:
            return
        deciding = self._deciding()
        if deciding and not _contains(deciding, offered):
            raise HostKeyRejected(self._changed(key, deciding, where, problem))
        if not deciding and not _contains(self._confirming(), offered) and not self.accept_unknown:
            raise HostKeyRejected(self._unknown(key, where, problem))

    def _certificate(self, key: paramiko.PKey) -> tuple[Certificate | None, str]:
        """Return the certificate that the machine presented, and its problem."""
        blob = key.public_blob
        if blob is None:
            return None, "It presents no certificate of the authority in known_hosts. " if self.authorities else ""
        certificate = None
        try:
            certificate = Certificate.from_blob(blob.key_type, blob.key_blob)
            known = _contains(self.authorities, certificate.authority)
            certificate.check_host(key.asbytes(), self.principals, is_authority_known=known)
        except CertificateUnusableError as error:
            return certificate, f"Its certificate is not accepted: {error}. "
        return certificate, ""

    def _deciding(self) -> list[KnownKey]:
        keys = (self.known.keys_of(name) for name in self.names)
        return next((found for found in keys if found), [])

    def _confirming(self) -> list[KnownKey]:
        return [key for name in self.fallbacks for key in self.known.keys_of(name)]

    def _changed(self, key: paramiko.PKey, deciding: list[KnownKey], where: str, problem: str) -> str:
        known = deciding[0]
        name = next(name for name in self.names if self.known.keys_of(name))
        file = shlex.quote(known.source.rpartition(":")[0])
        return (
            f"{where}: its host key {_describe(key)} is not the one in {known.source}: "
            f"it may be another machine. {problem}If it was reinstalled and the fingerprint is verified, "
            f"replace the old key with: ssh-keygen -R {shlex.quote(name)} -f {file} && {_accept(name, key, file)}"
        )

    def _unknown(self, key: paramiko.PKey, where: str, problem: str) -> str:
        accept_new = (
            "accept-new is treated as yes, as no keys are recorded here. " if self.wants_new_keys_recorded else ""
        )
        return (
            f"{where}: its host key {_describe(key)} is unknown. {problem}{accept_new}"
            f"Once the fingerprint is verified, accept it with: "
            f"{_accept(self.names[0], key, shlex.quote(str(self.file)))}"
        )


def _accept(name: str, key: paramiko.PKey, quoted_file: str) -> str:
    line = f"{name} {key.get_name()} {key.get_base64()}"
    return f"echo {shlex.quote(line)} >> {quoted_file}"


def _principals(options: SshOptions, inventory_name: str | None) -> tuple[str, ...]:
    if options.host_key_alias is not None:
        return (options.host_key_alias,)
    return (options.hostname,) if inventory_name is None else (inventory_name, options.hostname)


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
