"""`SHA256SUMS` of a run: the digest of each file that it wrote, as `sha256sum -c` reads it, and as it is signed."""

import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from nested_kvm.errors import FileUnusable
from nested_kvm.util.digest import sha256_of
from nested_kvm.util.times import iso_time

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
NAMESPACE: Final = "nested-kvm-compliance"
"""Of the signatures: one that was made for another purpose is not accepted."""
FILE_LIMIT: Final = 1024 * 1024 * 1024
"""Bytes of one file of a run, at most."""
_LINE: Final = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>[^/\\\x00-\x1f\x7f][^\\\x00-\x1f\x7f]*)")


def checksums_text(folder: Path, run_id: str, started: datetime, finished: datetime | None) -> str:
    """Return the text of the file: its head names the run and its times, so that they are signed as well.

    Raises:
        FileUnusable: a file cannot be read.
    """
    times = f"started {iso_time(started)}" + ("" if finished is None else f", finished {iso_time(finished)}")
    lines = [f"{sha256_of(folder / name, FILE_LIMIT, follow_links=False)}  {name}" for name in sorted(files_of(folder))]
    return "\n".join([f"# nested-kvm-compliance run {run_id}, {times}", *lines, ""])


def parse_checksums(text: str) -> dict[str, str]:
    """Return the digest of each file by its name.

    Raises:
        FileUnusable: it is not as a run writes it: a name that leaves the directory, or one that is there twice.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or ".." in match["name"].split("/") or match["name"] in found:
            raise FileUnusable(f"line {number} is not as a run writes it")
        found[match["name"]] = match["digest"]
    return found


def differences(folder: Path, expected: Mapping[str, str]) -> Iterator[str]:
    """Iterate over what was changed, removed and added in a run's directory, a sentence each."""
    for name in sorted(expected):
        try:
            if _is_behind_a_link(folder, name):
                yield f"{name}: is behind a symbolic link, and a run writes none"
            elif sha256_of(folder / name, FILE_LIMIT, follow_links=False) != expected[name]:
                yield f"{name}: was changed"
        except FileUnusable as error:
            yield f"{name}: cannot be read: {error}"
    yield from (f"{name}: was added" for name in sorted(set(files_of(folder)) - set(expected)))


def files_of(folder: Path) -> Iterator[str]:
    """Iterate over the names of everything in a run's directory that is not a directory, below it too."""
    for place, folders, files in os.walk(folder):
        links = [each for each in folders if (Path(place) / each).is_symlink()]
        for name in (*files, *links):
            relative = (Path(place) / name).relative_to(folder).as_posix()
            if relative not in {SUMS, SIGNATURE}:
                yield relative


def _is_behind_a_link(folder: Path, name: str) -> bool:
    return any((folder / parent).is_symlink() for parent in Path(name).parents if parent != Path())
