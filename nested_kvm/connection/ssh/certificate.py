"""OpenSSH certificates (PROTOCOL.certkeys), and their validation for hosts."""

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
    """A certificate is invalid, or is not valid for its use; the message says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate. Keys are in SSH's wire format."""

    blob: bytes
    key_type: str
    key: bytes
    authority: bytes
    _signed: SSHCertificate

    @classmethod
    def from_blob(cls, key_type: str, blob: bytes) -> Self:
        """Parse a certificate.

        Raises:
            CertificateUnusableError: it is not a certificate of a supported kind.
        """
        try:
            signed = load_ssh_public_identity(f"{key_type} {base64.b64encode(blob).decode()}".encode())
            if not isinstance(signed, SSHCertificate):
                raise CertificateUnusableError("it is a key, not a certificate")
            return cls(blob, key_type, _wire(signed.public_key()), _wire(signed.signature_key()), signed)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CertificateUnusableError(f"it is not a certificate of a supported kind ({error})") from None

    @classmethod
    def from_file(cls, file: Path) -> Self:
        """Read a certificate file as ssh-keygen writes it.

        Raises:
            CertificateUnusableError: it is not a certificate.
            OSError: it cannot be read.
        """
        words = file.read_text(encoding="ascii", errors="replace").split()
        try:
            key_type, blob = words[0], base64.b64decode(words[1], validate=True)
        except (IndexError, ValueError):
            raise CertificateUnusableError("it is not a certificate") from None
        return cls.from_blob(key_type, blob)

    def check_host(self, key: bytes, names: Iterable[str], *, is_authority_known: bool) -> None:
        """Require that a known authority signed this for `key` and one of these host names, and that it is valid now.

        A certificate without a host name would be valid for every host, and is refused.

        Raises:
            CertificateUnusableError: one of these does not hold.
        """
        signed = self._signed
        if self.key != key:
            raise CertificateUnusableError("it is for another key")
        if not is_authority_known:
            raise CertificateUnusableError("its authority is unknown")
        self._check_signature()
        if signed.type is not SSHCertificateType.HOST:
            raise CertificateUnusableError("it is a user certificate, not a host certificate")
        if signed.critical_options:
            raise CertificateUnusableError("it has critical options, which host certificates must not have")
        if not signed.valid_after <= time.time() < signed.valid_before:
            raise CertificateUnusableError(f"it is valid only {self._validity()}")
        principals = [principal.decode(errors="replace") for principal in signed.valid_principals]
        if not any(_matches(principal, name) for principal in principals for name in names):
            made_for = printable(", ".join(principals)) or "no one"
            raise CertificateUnusableError(f"it is issued for {made_for}, not for {' or '.join(names)}")

    def _check_signature(self) -> None:
        if self._signed._inner_sig_type == _SHA1:  # noqa: SLF001  # there is no public attribute
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
    """Whether a principal matches: in OpenSSH it may contain `*` and `?`; brackets are literal."""
    return fullmatch(translate(principal.replace("[", "[[]")), name.lower()) is not None


def _date(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "the end of time"
