"""The directory of a run whose signature is required: who signed it, and whether it is as it was signed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import ijson
from pydantic import BaseModel

from nested_kvm.errors import FileMissing, FileUnusable, SignatureRefused
from nested_kvm.results.checksums import FILE_LIMIT, NAMESPACE, SIGNATURE, SUMS, differences, parse_checksums
from nested_kvm.util.digest import HashedFile
from nested_kvm.util.files import open_regular, read_bounded
from nested_kvm.util.ssh_signature import signer_of
from nested_kvm.util.text import printable

RESULTS: Final = "results.json"
_SUMS_LIMIT: Final = 64 * 1024 * 1024
_SIGNATURE_LIMIT: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class SignedFiles:
    """What an allowed signer signed: the digest of each file of a run."""

    signer: str
    digests: Mapping[str, str]

    def require(self, name: str, digest: str | None) -> None:
        """Check one file that was read.

        Raises:
            SignatureRefused: it is not the one that was signed.
        """
        if digest is None or self.digests.get(name) != digest:
            raise SignatureRefused(f"{name} is not the one that {printable(self.signer)} signed")


class RunHead(BaseModel):
    """What identifies a run: the beginning of its results.json."""

    id: str
    started: datetime
    finished: datetime
    inventory: str


@dataclass(frozen=True, slots=True)
class SignedRun:
    """A run that was verified as a whole."""

    signer: str
    described: "RunHead"
    files: int
    problems: tuple[str, ...]
    """What is not as it was signed; empty: all of it is."""


def signed_files(folder: Path, allowed: Path) -> SignedFiles:
    """Return what an allowed signer signed of a run.

    Raises:
        SignatureRefused: it is not signed, or by none of them.
        UsageError: ssh-keygen or the file of allowed signers cannot be used.
    """
    try:
        sums = read_bounded(folder / SUMS, _SUMS_LIMIT)
        signature = read_bounded(folder / SIGNATURE, _SIGNATURE_LIMIT)
    except FileMissing:
        raise SignatureRefused(f"{folder} is not signed: it has no {SUMS} and {SIGNATURE}") from None
    except FileUnusable as error:
        raise SignatureRefused(f"{folder}: its signature cannot be read: {error}") from None
    signer = signer_of(sums, signature, allowed, NAMESPACE)
    try:
        return SignedFiles(signer, parse_checksums(sums.decode()))
    except (UnicodeDecodeError, FileUnusable) as error:
        raise SignatureRefused(f"{folder / SUMS}: {error}") from None


def verified_run(folder: Path, allowed: Path) -> SignedRun:
    """Verify every file of a run.

    Raises:
        SignatureRefused: it is not signed, by none of the allowed signers, or its results cannot be read.
        UsageError: ssh-keygen or the file of allowed signers cannot be used.
    """
    signed = signed_files(folder, allowed)
    run, digest = _run_of(folder / RESULTS)
    signed.require(RESULTS, digest)
    return SignedRun(signed.signer, run, len(signed.digests), tuple(differences(folder, signed.digests)))


def _run_of(path: Path) -> tuple[RunHead, str]:
    """The head of a results file, and the digest of all of it."""
    try:
        with open_regular(path, follow_links=False) as stream:
            hashed = HashedFile(stream, FILE_LIMIT)
            run = RunHead.model_validate(next(ijson.items(hashed, "run", use_float=True), None))
            return run, hashed.hexdigest()
    except (FileUnusable, OSError) as error:
        raise SignatureRefused(f"{path} cannot be read: {error}") from None
    except (ijson.JSONError, ValueError):
        raise SignatureRefused(f"{path} is not the results.json of a run") from None
