"""The files that a run was given, with the digest of each: what its verdict rests on beside the evidence."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from nested_kvm.errors import FileUnusable, SignatureRefused, UsageError
from nested_kvm.results.signed_run import SignedFiles
from nested_kvm.util.digest import sha256_of

SIZE_LIMIT: Final = 1024 * 1024 * 1024
"""Bytes of one input, at most; each reader has a lower limit."""
Read = TypeVar("Read")


class InputKind(StrEnum):
    """What an input is for."""

    INVENTORY = "inventory"
    WAIVERS = "waivers"
    ADVISORIES = "advisories"
    BASELINE = "baseline"
    CANDIDATE = "candidate"
    """The definition that is not deployed yet."""
    CHECK = "check"
    """A file of checks: the project's, and a site's own."""
    EVIDENCE = "evidence"
    """The results.json of the run of which the evidence was evaluated again."""
    RESULTS = "results"
    """The results.json of a run that was merged."""


@dataclass(frozen=True, slots=True)
class Input:
    """One file that was given to a run."""

    kind: InputKind
    file: str
    """As it was named on the command line."""
    sha256: str | None
    """None: it is not a regular file, as a directory of Ansible's or a pipe."""
    signed_by: str | None = None
    """Who signed the run that it belongs to, where signatures were required."""


class Inputs:
    """The inputs of a run, in the order in which they were read."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], Input] = {}

    def read(
        self, kind: InputKind, path: Path, load: Callable[[Path], Read], signed: SignedFiles | None = None
    ) -> Read:
        """Load a file, and note its digest.

        Raises:
            UsageError: the file changed meanwhile, or is not one of those that were `signed`; or what `load` raises.
        """
        before = _digest(path)
        if signed is not None:
            _require(signed, kind, path, before)
        found = load(path)
        if _digest(path) != before:
            raise UsageError(f"{path}: changed while it was read: start again")
        self.note(Input(kind, str(path), before, None if signed is None else signed.signer))
        return found

    def note(self, given: Input) -> None:
        """Note an input that was read elsewhere."""
        self._all[given.kind, given.file] = given

    def note_file(self, kind: InputKind, path: Path, name: str) -> None:
        """Note a file by its digest, under a name that is the same on every machine."""
        self.note(Input(kind, name, _digest(path)))

    def all(self) -> list[Input]:
        """Return all, by kind and name."""
        return sorted(self._all.values(), key=lambda each: (list(InputKind).index(each.kind), each.file))


def _require(signed: SignedFiles, kind: InputKind, path: Path, digest: str | None) -> None:
    try:
        signed.require(path.resolve().name, digest)
    except SignatureRefused as error:
        raise UsageError(f"--{kind}: {path}: {error}") from None


def _digest(path: Path) -> str | None:
    try:
        return sha256_of(path, SIZE_LIMIT) if path.is_file() else None
    except FileUnusable as error:
        raise UsageError(f"{path}: {error}") from None
