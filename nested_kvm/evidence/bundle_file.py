"""Bundles as JSON files: the interface through which any run can be judged again."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nested_kvm.errors import EvidenceUnusable, InventoryError, UsageError
from nested_kvm.evidence.bundle import Bundle, Failure, LibvirtAnswer
from nested_kvm.evidence.reading import Reading
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.files import file_stem, write_atomically
from nested_kvm.util.text import printable
from nested_kvm.version import VERSION

SCHEMA = "nested-kvm-compliance/evidence/1"
SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes: an answer's own limit, many times over."""


class Declaration(BaseModel):
    """What the inventory said of a target, so that evidence can be judged without it."""

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
        """Declare a target."""
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
        """The target again.

        Raises:
            InventoryError: its address is none.
        """
        address = None if self.address is None else Address.parse(self.address)
        return Target(
            self.name,
            self.level,
            address,
            replace(self.policy, binding=True),  # Evidence cannot say that nothing is required of its target.
            self.host,
            self.domain,
            self.via_host,
            self.libvirt,
            self.account,
            self.group,
        )


class _File(BaseModel):
    """The whole file; its keys in this order."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    schema_: Literal["nested-kvm-compliance/evidence/1"] = Field("nested-kvm-compliance/evidence/1", alias="schema")
    version: str
    observed: datetime
    target: Declaration
    failure: Failure | None
    cut: str | None
    libvirt: LibvirtAnswer | None
    readings: list[Reading]


def write_bundle(directory: Path, bundle: Bundle) -> Path:
    """Write `<target>.json` into `directory`, whole or not at all, and return its path."""
    file = _File(
        version=bundle.version,
        observed=bundle.observed_at,
        target=Declaration.of(bundle.target),
        failure=bundle.failure,
        cut=bundle.cut,
        libvirt=bundle.libvirt,
        readings=list(bundle.readings.values()),
    )
    path = evidence_path(directory, bundle.target.name)
    write_atomically(path, file.model_dump_json(by_alias=True, indent=1) + "\n")
    return path


def evidence_path(directory: Path, name: str) -> Path:
    """Where the evidence of the target of that name is kept."""
    return directory / f"{file_stem(name)}.json"


def read_bundle(path: Path) -> Bundle:
    """Read one evidence file.

    Raises:
        EvidenceUnusable: it is not one, is broken, or comes from a newer schema; the message names it.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
        if len(data) > SIZE_LIMIT:
            raise EvidenceUnusable(f"{path.name} is larger than {SIZE_LIMIT // 1024 // 1024} MiB")
        file = _File.model_validate_json(data)
        return _bundle(file)
    except OSError as error:
        raise EvidenceUnusable(f"{path.name} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise EvidenceUnusable(f"{path.name} is not evidence of schema {SCHEMA}: {_reason(error)}") from None
    except InventoryError as error:
        raise EvidenceUnusable(f"{path.name}: {error}") from None


def read_bundles(directory: Path) -> Iterator[Bundle]:
    """Read every evidence file of a directory; one that is unusable yields a bundle that says so.

    Raises:
        UsageError: there is no such directory, or no evidence in it, or two files speak of one target.
    """
    if not directory.is_dir():
        raise UsageError(f"--evidence: {directory} is not a directory")
    paths = sorted(directory.glob("*.json"))
    if not paths:
        raise UsageError(f"--evidence: {directory} holds no *.json: nothing to audit")
    seen: dict[str, Path] = {}
    for path in paths:
        bundle = _bundle_or_why(path)
        name = bundle.target.name
        if seen.setdefault(name, path) is not path:
            raise UsageError(f"--evidence: {seen[name].name} and {path.name} both speak of {name}")
        yield bundle


def _bundle_or_why(path: Path) -> Bundle:
    try:
        return read_bundle(path)
    except EvidenceUnusable as error:
        target = Target(unquote(path.stem), TargetLevel.AUTO, Address(str(path), "evidence"), Policy())
        return unusable_bundle(target, error)


def unusable_bundle(target: Target, error: Exception, message: str | None = None) -> Bundle:
    """A bundle that only says why the target could not be observed."""
    failure = Failure(type(error).__name__, message or str(error))
    return Bundle(target, datetime.now(UTC), VERSION, failure=failure)


def _bundle(file: _File) -> Bundle:
    """The bundle in a file.

    Raises:
        EvidenceUnusable: it has two readings of one source.
    """
    sources = Counter(reading.source for reading in file.readings)
    repeated = [source for source, count in sources.items() if count > 1]
    if repeated:
        raise EvidenceUnusable(f"the evidence of {file.target.name} has {printable(repeated[0])} more than once")
    return Bundle(
        file.target.target(),
        file.observed,
        file.version,
        {reading.source: reading for reading in file.readings},
        file.cut,
        file.libvirt,
        file.failure,
    )


def _reason(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]
