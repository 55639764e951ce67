"""The run that left an evidence directory, as its results.json describes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import ijson
from pydantic import BaseModel, Field, ValidationError

from nested_kvm.errors import FileUnusable, SignatureRefused, UsageError
from nested_kvm.evidence.bundle_file import WrittenFile
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.results.reader import SIZE_LIMIT
from nested_kvm.results.signed_run import RESULTS, SignedFiles, signed_files
from nested_kvm.util.digest import HashedFile
from nested_kvm.util.files import open_regular

_DIGEST: Final = "^[0-9a-f]{64}$"


class _Evidence(BaseModel):
    file: str
    sha256: Annotated[str, Field(pattern=_DIGEST)]


class _Target(BaseModel):
    """What is read of a target: files of older and of newer versions may have less and more."""

    name: str
    level: TargetLevel
    evidence: _Evidence | None = None


class _Input(BaseModel):
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PastRun:
    """What a run recorded of the evidence that it left."""

    results: Path
    sha256: str
    """Of its results.json."""
    targets: tuple[Target, ...]
    written: Mapping[str, WrittenFile] | None
    """Its evidence files by name; None: an unsigned run of an older version, which recorded none."""
    signed_by: str | None


def past_run(directory: Path, allowed_signers: Path | None) -> PastRun | None:
    """Read the results.json beside an evidence directory; None where there is no such file.

    With `allowed_signers` it has to be signed by one of them.

    Raises:
        UsageError: the file cannot be read, or is not signed as required.
    """
    path = directory.resolve().parent / RESULTS
    try:
        signed = None if allowed_signers is None else signed_files(path.parent, allowed_signers)
        return _read(path, signed) if signed is not None or path.is_file() else None
    except SignatureRefused as error:
        raise UsageError(f"--evidence: {error}") from None
    except (FileUnusable, OSError) as error:
        raise UsageError(f"--evidence: {path} cannot be read: {error}") from None
    except (ijson.JSONError, ValidationError, ValueError) as error:
        raise UsageError(f"--evidence: {path} cannot be read: {type(error).__name__}") from None


def input_digests(directory: Path) -> frozenset[str] | None:
    """The digests of what the run beside an evidence directory was given; None where there is no results.json.

    Raises:
        UsageError: the file cannot be read.
    """
    path = directory.resolve().parent / RESULTS
    if not path.is_file():
        return None
    try:
        with open_regular(path) as stream:
            hashed = HashedFile(stream, SIZE_LIMIT)
            given = [_Input.model_validate(each) for each in ijson.items(hashed, "run.inputs.item", use_float=True)]
    except (FileUnusable, OSError) as error:
        raise UsageError(f"--evidence: {path} cannot be read: {error}") from None
    except (ijson.JSONError, ValidationError, ValueError) as error:
        raise UsageError(f"--evidence: {path} cannot be read: {type(error).__name__}") from None
    return frozenset(each.sha256 for each in given if each.sha256 is not None)


def _read(path: Path, signed: SignedFiles | None) -> PastRun:
    with open_regular(path) as stream:
        hashed = HashedFile(stream, SIZE_LIMIT)
        rows = [_Target.model_validate(each) for each in ijson.items(hashed, "targets.item", use_float=True)]
        digest = hashed.hexdigest()
    if signed is not None:
        signed.require(RESULTS, digest)
    written = {
        Path(row.evidence.file).name: WrittenFile(row.name, row.evidence.sha256)
        for row in rows
        if row.evidence is not None
    }
    is_of_older_version = signed is None and not any("evidence" in row.model_fields_set for row in rows)
    return PastRun(
        results=path,
        sha256=digest,
        targets=tuple(Target(row.name, row.level, Address(str(path), "evidence"), Policy()) for row in rows),
        written=None if is_of_older_version else written,
        signed_by=None if signed is None else signed.signer,
    )
