"""Reads private key files, each once, including encrypted ones."""

import base64
import binascii
import io
import shlex
import threading
from functools import lru_cache
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
from paramiko.message import Message

_MAGIC = b"openssh-key-v1\0"
_CLASSES: dict[type, type[paramiko.PKey]] = {
    Ed25519PrivateKey: paramiko.Ed25519Key,
    EllipticCurvePrivateKey: paramiko.ECDSAKey,
    RSAPrivateKey: paramiko.RSAKey,
}
_Version = tuple[Path, int, int]
_loading = threading.Lock()
_unlocked: dict[_Version, paramiko.PKey] = {}


class KeyUnusableError(Exception):
    """A key file cannot be used; the message says which and why."""


class KeyEncryptedError(KeyUnusableError):
    """A key file needs a passphrase."""


def load_key(file: Path) -> paramiko.PKey:
    """Read a private key, once while the file stays as it is; an encrypted one must have been unlocked.

    Raises:
        FileNotFoundError: the file does not exist.
        KeyEncryptedError: it has not been unlocked.
        KeyUnusableError: it is not a private key, or cannot be read.
    """
    version = _version(file)
    with _loading:
        return _unlocked.get(version) or _load(version)


def unlock_key(file: Path, passphrase: str) -> bool:
    """Decrypt a key for the rest of the run; return whether the passphrase is right."""
    version = _version(file)
    try:
        key = _read(file, passphrase)
    except KeyUnusableError:
        return False
    with _loading:
        _unlocked[version] = key
    return True


def public_half(file: Path) -> bytes | None:
    """Return the public half of a key, in SSH's wire format, without its passphrase.

    It is in `file.pub`, or in the file, which may itself be a public key.
    """
    for each in (Path(f"{file}.pub"), file):
        try:
            text = each.read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        found = _public_line(text) or _clear_part(text)
        if found is not None:
            return found
    return None


def _version(file: Path) -> _Version:
    try:
        status = file.stat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyUnusableError(f"{file} cannot be read ({error.strerror})") from None
    return file, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _load(version: _Version) -> paramiko.PKey:
    return _read(version[0], None)


def _read(file: Path, passphrase: str | None) -> paramiko.PKey:
    try:
        data = file.read_bytes()
        kind = _kind(data, None if passphrase is None else passphrase.encode())
        return kind.from_private_key(io.StringIO(data.decode()), password=passphrase)
    except TypeError:  # cryptography's error for a missing passphrase
        hint = f"load it into an agent by ssh-add {shlex.quote(str(file))}"
        raise KeyEncryptedError(f"{file} is encrypted: {hint}") from None
    except OSError as error:
        raise KeyUnusableError(f"{file} cannot be read ({error.strerror})") from None
    except (ValueError, UnsupportedAlgorithm, paramiko.SSHException):
        raise KeyUnusableError(f"{file} is not a private key of a supported kind") from None


def _kind(data: bytes, passphrase: bytes | None) -> type[paramiko.PKey]:
    """Return the class for a key, read in OpenSSH's format or else as PEM."""
    try:
        key: object = load_ssh_private_key(data, passphrase)
    except ValueError:
        key = load_pem_private_key(data, passphrase)
    for kind, paramikos in _CLASSES.items():
        if isinstance(key, kind):
            return paramikos
    raise UnsupportedAlgorithm(type(key).__name__)


def _public_line(text: str) -> bytes | None:
    words = text.split()
    if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")):  # noqa: PLR2004  # type and key
        return None
    try:
        return base64.b64decode(words[1], validate=True)
    except (ValueError, binascii.Error):
        return None


def _clear_part(text: str) -> bytes | None:
    """Return the public key that OpenSSH's format (PROTOCOL.key) holds before the encrypted part."""
    body = "".join(line for line in text.splitlines() if line and not line.startswith("-"))
    try:
        data = base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        return None
    if not data.startswith(_MAGIC):
        return None
    message = Message(data[len(_MAGIC) :])
    for _ in ("cipher", "key derivation", "its options"):
        message.get_binary()
    message.get_int()
    return message.get_binary() or None
