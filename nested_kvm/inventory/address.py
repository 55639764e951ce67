"""The address of a target: a Testinfra host spec, parsed without connecting to anything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from nested_kvm.errors import InventoryError

SSH_SCHEMES = frozenset({"ssh", "paramiko", "safe-ssh"})
"""Testinfra's names for SSH: all of them mean our own in-process connection."""

OTHER_SCHEMES = frozenset({"local", "docker", "podman", "kubectl", "lxc", "openshift", "chroot"})
"""Testinfra's other backends: each runs the same probe."""

SSH_OPTIONS = frozenset({"sudo", "sudo_user", "ssh_identity_file", "ssh_config", "timeout"})
"""What may follow `?` in an ssh:// address: Testinfra's options, for this target alone."""

AGENT = "agent"
"""Not a host spec: the guest is reached through libvirt's guest agent."""

_HOST = re.compile(r"[\w.:%-]+", re.ASCII)
_CONTAINER = re.compile(r"[\w./@:*-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """One target's address. `scheme` is `ssh`, or the Testinfra backend's name for all else."""

    spec: str
    scheme: str
    host: str = ""
    user: str | None = None
    port: int | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_ssh(self) -> bool:
        """Whether the target is reached by our own SSH connection."""
        return self.scheme == "ssh"

    @property
    def is_local(self) -> bool:
        """Whether it is the machine that runs the audit."""
        return self.scheme == "local"

    @classmethod
    def parse(cls, spec: str, default_scheme: str = "ssh") -> Self:
        """Parse a host spec: `ssh://root@kvm-a:22`, `local://`, `docker://name`, or a bare `kvm-a`.

        Raises:
            InventoryError: it is not a host spec; the message quotes it.
        """
        if spec == AGENT:
            return cls(spec, AGENT)
        text = spec if "://" in spec else f"{default_scheme}://{spec}"
        try:
            url = urlsplit(text)
            options = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
        except ValueError as error:
            raise InventoryError(f"{spec!r} is not an address: {error}") from None
        if url.fragment or url.path not in {"", "/"}:
            raise InventoryError(f"{spec!r} is not an address: nothing may follow the host but ?options")
        scheme = "ssh" if url.scheme in SSH_SCHEMES else url.scheme
        if scheme == "ssh":
            return cls._ssh(spec, url.netloc, options)
        return cls._other(spec, scheme, url.netloc, options)

    @classmethod
    def _ssh(cls, spec: str, netloc: str, options: Mapping[str, str]) -> Self:
        url = urlsplit(f"ssh://{netloc}")
        try:
            port = url.port
        except ValueError:
            raise InventoryError(f"{spec!r} is not an address: the port must be a number up to 65535") from None
        if url.password is not None:
            raise InventoryError(f"an address ({url.hostname}) carries a password: use a key or an agent")
        host = unquote(url.netloc.rpartition("@")[2])
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if not _HOST.fullmatch(host) or host.startswith("-"):
            raise InventoryError(f"{spec!r} is not an address: {host!r} is not a valid host name")
        _check_options(spec, options)
        user = unquote(url.username) if url.username else None
        return cls(spec, "ssh", host, user, port, MappingProxyType(dict(options)))

    @classmethod
    def _other(cls, spec: str, scheme: str, netloc: str, options: Mapping[str, str]) -> Self:
        if scheme not in OTHER_SCHEMES:
            known = ", ".join(sorted(SSH_SCHEMES | OTHER_SCHEMES))
            raise InventoryError(f"{spec!r} is not an address: {scheme}:// is unknown (known: {known})")
        if not _CONTAINER.fullmatch(netloc) or netloc.startswith("-"):
            raise InventoryError(f"{spec!r} is not an address: {netloc!r} is not a valid name for {scheme}://")
        if scheme == "local" and netloc:
            raise InventoryError(f"{spec!r} is not an address: local:// takes no host")
        if scheme != "local" and not netloc:
            raise InventoryError(f"{spec!r} is not an address: {scheme}:// takes a name")
        return cls(spec, scheme, netloc, None, None, MappingProxyType(dict(options)))

    def __str__(self) -> str:
        return self.spec


def _check_options(spec: str, options: Mapping[str, str]) -> None:
    for name in sorted(options.keys() - SSH_OPTIONS):
        known = ", ".join(sorted(SSH_OPTIONS))
        raise InventoryError(f"{spec!r} is not an address: ?{name}= is unknown for ssh:// (known: {known})")
    if not re.fullmatch(r"[1-9][0-9]{0,5}", options.get("timeout", "1")):
        raise InventoryError(f"{spec!r} is not an address: ?timeout= takes a number of seconds")
