"""The targets of the run that left an evidence directory, as its results.json lists them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import ijson

from nested_kvm.errors import UsageError
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy

RESULTS: Final = "results.json"


def targets_of_run(directory: Path) -> Iterator[Target]:
    """The targets named in the results.json beside an evidence directory; none where there is no such file.

    Raises:
        UsageError: the file cannot be read.
    """
    path = directory.resolve().parent / RESULTS
    if not path.is_file():
        return
    try:
        with path.open("rb") as stream:
            for found in ijson.items(stream, "targets.item"):
                yield _target(path, found)
    except (OSError, ijson.JSONError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"--evidence: {path} cannot be read: {type(error).__name__}") from None


def _target(path: Path, found: dict[str, object]) -> Target:
    return Target(str(found["name"]), TargetLevel(str(found["level"])), Address(str(path), "evidence"), Policy())
