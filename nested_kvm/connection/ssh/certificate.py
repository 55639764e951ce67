"""OpenSSH's certificates (PROTOCOL.certkeys): who vouches for a key, for whom, and how long."""

import base64
import time
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from re import fullmatch
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    SSHCertPublicKeyTypes,
    load_ssh_public_identity,
)

from nested_kvm.util.text import printable

SUFFIX = "-cert-v01@openssh.com"

_SHA1 = b"ssh-rsa"


class CertificateUnusableError(Exception):
    """It is no certificate, or does not vouch for what it should; the message says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. Keys are in SSH's wire format."""

    blob: bytes
    key_type: str
    key: bytes
    authority: bytes
    _signed: SSHCertificate

    @classmethod
    def from_blob(cls, key_type: str, blob: bytes) -> Self:
        """Take a certificate apart.

        Raises:
            CertificateUnusableError: it is none of a kind that is supported.
        """
        try:
            signed = load_ssh_public_identity(f"{key_type} {base64.b64encode(blob).decode()}".encode())
            if not isinstance(signed, SSHCertificate):
                raise CertificateUnusableError("it is a key, and no certificate")
            return cls(blob, key_type, _wire(signed.public_key()), _wire(signed.signature_key()), signed)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CertificateUnusableError(f"it is no certificate of a kind that is supported ({error})") from None

    @classmethod
    def from_file(cls, file: Path) -> Self:
        """Read a certificate as ssh-keygen writes it.

        Raises:
            CertificateUnusableError: it is none.
            OSError: it cannot be read.
        """
        words = file.read_text(encoding="ascii", errors="replace").split()
        try:
            key_type, blob = words[0], base64.b64decode(words[1], validate=True)
        except (IndexError, ValueError):
            raise CertificateUnusableError("it is no certificate") from None
        return cls.from_blob(key_type, blob)

    def check_host(self, key: bytes, names: Iterable[str], *, is_authority_known: bool) -> None:
        """Require that a known authority made this for `key`, for a host of one of these names, and for today.

        A certificate that names no host would be one for every host: it is refused.

        Raises:
            CertificateUnusableError: it did not.
        """
        signed = self._signed
        if self.key != key:
            raise CertificateUnusableError("it is for another key")
        if not is_authority_known:
            raise CertificateUnusableError("its authority is not known")
        self._check_signature()
        if signed.type is not SSHCertificateType.HOST:
            raise CertificateUnusableError("it is a user's and not a host's")
        if signed.critical_options:
            raise CertificateUnusableError("it has critical options, and hosts have none")
        if not signed.valid_after <= time.time() < signed.valid_before:
            raise CertificateUnusableError(f"it is not valid now, but {self._validity()}")
        principals = [principal.decode(errors="replace") for principal in signed.valid_principals]
        if not any(_matches(principal, name) for principal in principals for name in names):
            made_for = printable(", ".join(principals)) or "nobody"
            raise CertificateUnusableError(f"it is made for {made_for}, not for {' or '.join(names)}")

    def _check_signature(self) -> None:
        if self._signed._inner_sig_type == _SHA1:  # noqa: SLF001  # nothing public tells it
            raise CertificateUnusableError("it is signed with SHA-1")
        try:
            self._signed.verify_cert_signature()
        except InvalidSignature:
            raise CertificateUnusableError("its signature is wrong") from None

    def _validity(self) -> str:
        return f"from {_date(self._signed.valid_after)} to {_date(self._signed.valid_before)}"


def _wire(key: SSHCertPublicKeyTypes) -> bytes:
    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


def _matches(principal: str, name: str) -> bool:
    """OpenSSH lets a host's principal have `*` and `?`; brackets mean themselves."""
    return fullmatch(translate(principal.replace("[", "[[]")), name.lower()) is not None


def _date(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "the end of time"
