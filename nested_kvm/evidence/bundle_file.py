"""Reads and writes bundles as JSON files, from which a run can be re-evaluated."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from nested_kvm.errors import EvidenceUnusable, FileUnusable, InventoryError, UsageError
from nested_kvm.evidence.age import age_of
from nested_kvm.evidence.bundle import Bundle, Failure, LibvirtAnswer, Origin
from nested_kvm.evidence.reading import Reading, shared
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.files import file_stem, read_bounded, write_atomically
from nested_kvm.util.schema_error import explain_first
from nested_kvm.util.text import printable
from nested_kvm.version import VERSION

SCHEMA = "nested-kvm-compliance/evidence/1"
EVIDENCE = "evidence"
"""The scheme of the address of a target that is known by saved evidence only."""
ARCHIVES = ("archive://", "sosreport://", "supportconfig://", "insights://", "must-gather://")
"""How the address of a target in a support archive begins, by the archive's kind."""
SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes: many times the limit of a target's answer."""


class Declaration(BaseModel):
    """The declaration of a target in the inventory, so that evidence can be evaluated without it."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    level: TargetLevel
    address: str | None
    host: str | None
    domain: str | None
    via_host: bool
    libvirt: str | None
    policy: Policy
    account: str | None = None
    group: str | None = None

    @classmethod
    def of(cls, target: Target) -> Self:
        """Make the declaration of a target."""
        return cls(
            name=target.name,
            level=target.level,
            address=None if target.address is None else target.address.spec,
            host=target.host,
            domain=target.domain,
            via_host=target.via_host,
            libvirt=target.libvirt,
            policy=target.policy,
            account=target.account,
            group=target.group,
        )

    def target(self) -> Target:
        """Return the declared target. Its policy binds, whatever the file says: a file must not switch controls off.

        Raises:
            InventoryError: its address is invalid.
        """
        address = None if self.address is None else _address(self.address)
        return Target(
            self.name,
            self.level,
            address,
            _binding(self.policy),
            host=self.host,
            domain=self.domain,
            via_host=self.via_host,
            libvirt=self.libvirt,
            account=self.account,
            group=self.group,
        )


@lru_cache
def _binding(policy: Policy) -> Policy:
    """The policy as one that binds; equal ones are kept once."""
    return replace(policy, binding=True)


def _address(spec: str) -> Address:
    """The address of a target; of one in a support archive it names the archive, and nothing is reached by it.

    Raises:
        InventoryError: it is invalid.
    """
    return Address(spec, EVIDENCE) if spec.startswith(ARCHIVES) else Address.parse(spec)


class _File(BaseModel):
    """The schema of an evidence file, its keys in order."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    schema_: Literal["nested-kvm-compliance/evidence/1"] = Field("nested-kvm-compliance/evidence/1", alias="schema")
    version: str
    observed: AwareDatetime
    target: Declaration
    origin: Origin | None = Field(None, exclude_if=lambda origin: origin is None)
    failure: Failure | None
    cut: str | None
    libvirt: LibvirtAnswer | None
    readings: list[Reading]


def write_bundle(directory: Path, bundle: Bundle) -> Path:
    """Write `<target>.json` into `directory`, atomically and for its owner alone, and return its path.

    In ASCII without control characters: no target's text can control a terminal that shows the file.
    """
    file = _File(
        version=bundle.version,
        observed=bundle.observed_at,
        target=Declaration.of(bundle.target),
        origin=bundle.origin,
        failure=bundle.failure,
        cut=bundle.cut,
        libvirt=bundle.libvirt,
        readings=list(bundle.readings.values()),
    )
    path = evidence_path(directory, bundle.target.name)
    text = file.model_dump_json(by_alias=True, indent=1, ensure_ascii=True).replace("\x7f", "\\u007f")
    write_atomically(path, f"{text}\n", private=True)
    return path


def evidence_path(directory: Path, name: str) -> Path:
    """Return the path of the evidence of the target of that name."""
    return directory / f"{file_stem(name)}.json"


def read_bundle(path: Path, digest: str | None = None) -> Bundle:
    """Read one evidence file. `digest` is the SHA-256 that it must have; None: any.

    Raises:
        EvidenceUnusable: it is not evidence, is broken, was changed, or has a newer schema; the message names the file.
    """
    try:
        data = read_bounded(path, SIZE_LIMIT)
        found = sha256(data).hexdigest()
        _require_digest(found, digest)
        bundle = replace(_bundle(_File.model_validate_json(data)), file_sha256=found)
        age_of(bundle, datetime.now(UTC))
    except FileUnusable as error:
        raise EvidenceUnusable(f"{path.name} cannot be read: {error}") from None
    except ValidationError as error:
        raise EvidenceUnusable(f"{path.name} is not evidence of schema {SCHEMA}: {explain_first(error)}") from None
    except (EvidenceUnusable, InventoryError) as error:
        raise EvidenceUnusable(f"{path.name}: {error}") from None
    return bundle


def _require_digest(found: str, recorded: str | None) -> None:
    if recorded is not None and found != recorded:
        raise EvidenceUnusable("was changed after its run: its SHA-256 is not the one in results.json")


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """An evidence file as the run that left it recorded it."""

    target: str
    sha256: str


def read_bundles(directory: Path, written: Mapping[str, WrittenFile] | None = None) -> Iterator[Bundle]:
    """Read every evidence file of a directory; an unusable one yields a bundle with a failure.

    `written` has the files of the run that left the directory, by name: one that was changed or added is unusable.
    None: that is not known.

    Raises:
        UsageError: the directory does not exist or has no evidence, or two files are for the same target.
    """
    if not directory.is_dir():
        reason = " is not a directory" if directory.exists() else ": No such file or directory"
        raise UsageError(f"--evidence: {directory}{reason}")
    paths = sorted(directory.glob("*.json"))
    if not paths:
        raise UsageError(f"--evidence: {directory} holds no *.json and no support archive: nothing to audit")
    seen: dict[str, Path] = {}
    for path in paths:
        bundle = _bundle_or_failure(path, written)
        name = bundle.target.name
        if seen.setdefault(name, path) is not path:
            raise UsageError(f"--evidence: {seen[name].name} and {path.name} are both for {name}")
        yield bundle


def _bundle_or_failure(path: Path, written: Mapping[str, WrittenFile] | None) -> Bundle:
    recorded = None if written is None else written.get(path.name)
    name = unquote(path.stem) if recorded is None else recorded.target
    target = Target(name, TargetLevel.AUTO, Address(str(path), "evidence"), Policy())
    if written is not None and recorded is None:
        added = EvidenceUnusable(f"{path.name} was added after its run: results.json does not name it")
        return unusable_bundle(target, added)
    try:
        return read_bundle(path, None if recorded is None else recorded.sha256)
    except EvidenceUnusable as error:
        return unusable_bundle(target, error)


def unusable_bundle(target: Target, error: Exception, message: str | None = None) -> Bundle:
    """Make a bundle of the reason why the target could not be observed."""
    failure = Failure(type(error).__name__, message or str(error))
    return Bundle(target, datetime.now(UTC), VERSION, failure=failure)


def _bundle(file: _File) -> Bundle:
    twice = [source for source, count in Counter(reading.source for reading in file.readings).items() if count > 1]
    if twice:
        raise EvidenceUnusable(f"has {printable(twice[0])} twice: which of them is right is unknown")
    return Bundle(
        file.target.target(),
        file.observed,
        file.version,
        {reading.source: shared(reading) for reading in file.readings},
        file.cut,
        file.libvirt,
        file.failure,
        file.origin,
    )
