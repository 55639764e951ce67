"""Signatures by OpenSSH's `ssh-keygen -Y`, which never prompts here.

Source: ssh-keygen(1), `-Y sign`, `-Y find-principals` and `-Y verify`; the file of allowed signers is described there.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from nested_kvm.errors import SignatureRefused, UsageError
from nested_kvm.util.text import printable

PROGRAM: Final = "ssh-keygen"
SECONDS: Final = 60
"""The time limit of one call: a key in hardware may wait for a touch."""
_ASKING: Final = ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS")


def sign(data: bytes, key: Path, namespace: str) -> bytes:
    """Return the signature of `data`, made with a private key, or with the agent's where `key` is its public half.

    Raises:
        UsageError: it cannot be signed: there is no such key, it is encrypted and in no agent, or is not accepted.
    """
    if not key.is_file():
        raise UsageError(f"--sign-with: {key}: is not a file")
    ended = _run(["-Y", "sign", "-q", "-n", namespace, "-f", str(key)], data)
    if ended.returncode != 0 or b"BEGIN SSH SIGNATURE" not in ended.stdout:
        raise UsageError(
            f"--sign-with: {key} cannot sign ({_complaint(ended)}): an encrypted key has to be in an agent (ssh-add)"
        )
    return ended.stdout


def signer_of(data: bytes, signature: bytes, allowed: Path, namespace: str) -> str:
    """Return who of the allowed signers signed `data`, by a key that is valid now.

    Raises:
        SignatureRefused: none of them did, for this namespace; the message says why.
        UsageError: ssh-keygen is missing, or the file of allowed signers is not a file.
    """
    if not allowed.is_file():
        raise UsageError(f"--allowed-signers: {allowed}: is not a file")
    with NamedTemporaryFile(prefix="nested-kvm-") as file:
        file.write(signature)
        file.flush()
        given = ["-f", str(allowed), "-s", file.name]
        found = _run(["-Y", "find-principals", *given], b"")
        for who in found.stdout.decode(errors="replace").splitlines():
            if _run(["-Y", "verify", "-n", namespace, "-I", who, *given], data).returncode == 0:
                return who
        reason = _complaint(found) if found.returncode else "it is of other data, or for another purpose"
    raise SignatureRefused(f"its signature is not accepted by {allowed}: {reason}")


def _run(arguments: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen where it has no terminal to ask on."""
    environment = {name: value for name, value in os.environ.items() if name not in _ASKING}
    try:
        return subprocess.run(  # noqa: S603 - our own arguments, no shell
            [PROGRAM, *arguments],
            input=data,
            capture_output=True,
            env=environment | {"SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
            start_new_session=True,
            timeout=SECONDS,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"{PROGRAM} cannot be started: {error.strerror}: install OpenSSH's client") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{PROGRAM} did not answer within {SECONDS} s") from None


def _complaint(ended: subprocess.CompletedProcess[bytes]) -> str:
    return next(_lines(ended), f"{PROGRAM} ended with {ended.returncode}")


def _lines(ended: subprocess.CompletedProcess[bytes]) -> Iterator[str]:
    """What it complained of, the last first, without the prompt that it writes before it finds that nothing answers."""
    text = ended.stderr.decode(errors="replace").replace("Enter passphrase: ", "\n")
    return (printable(line.strip().rstrip("."), 300) for line in reversed(text.splitlines()) if line.strip())
