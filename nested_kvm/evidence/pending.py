"""The list of targets not observed yet, beside the evidence, so that a killed run shows what is missing."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from nested_kvm.errors import FileMissing, FileUnusable, InventoryError, NotObserved, UsageError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import (
    SIZE_LIMIT,
    Declaration,
    WrittenFile,
    evidence_path,
    read_bundles,
    unusable_bundle,
)
from nested_kvm.inventory.target import Inventory, Target
from nested_kvm.util.files import read_bounded, write_atomically
from nested_kvm.util.schema_error import explain_first

NAME: Final = "targets.pending"
_TARGETS: Final = TypeAdapter(list[Declaration])


def announce(directory: Path, inventory: Inventory) -> None:
    """Write the list of targets that will be observed."""
    declared = [Declaration.of(target) for target in inventory if target.address is not None]
    write_atomically(directory / NAME, _TARGETS.dump_json(declared).decode() + "\n", private=True)


def withdraw(directory: Path) -> None:
    """Remove the list: each target has its evidence."""
    (directory / NAME).unlink(missing_ok=True)


def read_evidence(directory: Path, written: Mapping[str, WrittenFile] | None = None) -> Iterator[Bundle]:
    """Read every evidence file of a directory; a target that a killed run did not observe yields a failure.

    `written`: see `read_bundles`.

    Raises:
        UsageError: the directory does not exist or has no evidence, or two files are for the same target.
    """
    pending = list(_pending(directory))
    if not pending or any(directory.glob("*.json")):
        yield from read_bundles(directory, written)
    for target in pending:
        if not evidence_path(directory, target.name).exists():
            problem = NotObserved(f"{target.name}: the run was killed before it was observed")
            yield unusable_bundle(target, problem)


def _pending(directory: Path) -> Iterator[Target]:
    path = directory / NAME
    try:
        declared = _TARGETS.validate_json(read_bounded(path, SIZE_LIMIT))
        yield from [each.target() for each in declared]
    except FileMissing:
        return
    except ValidationError as error:
        raise UsageError(f"--evidence: {path} cannot be used: {explain_first(error)}") from None
    except (FileUnusable, InventoryError) as error:
        raise UsageError(f"--evidence: {path} cannot be used: {error}") from None
