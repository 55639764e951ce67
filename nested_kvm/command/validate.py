"""`nested-kvm validate`: the errors of files that people write, with file, line and key."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from nested_kvm.errors import UsageError
from nested_kvm.fleet.estates.load import load_fleet
from nested_kvm.results.waiver_file import load_waivers
from nested_kvm.util.text import printable

_LOAD: Final[Mapping[str, Callable[[Path], object]]] = {"inventory": load_fleet, "waivers": load_waivers}
_INVALID: Final = 4


def validate(kind: str, files: Sequence[Path]) -> int:
    """Print the errors of all files, and return the exit status."""
    status = 0
    for file in files:
        try:
            _LOAD[kind](file)
        except UsageError as error:
            lines = (printable(line, 2000) for line in str(error).splitlines())
            sys.stderr.write("".join(f"{line}\n" for line in lines))
            status = _INVALID
    return status
