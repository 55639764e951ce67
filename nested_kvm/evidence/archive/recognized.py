"""Which files and folders are support archives, by their names."""

import re
from pathlib import Path
from typing import Final

SUFFIXES: Final = (
    ".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tgz", ".txz", ".tbz", ".tbz2",
    ".tar.zst", ".tzst", ".zip", ".7z", ".gpg", ".pgp", ".asc",
)  # fmt: skip
"""Of files in a folder. The last ones cannot be read: they are an error each, since a machine would be left out."""
_MARKS: Final = frozenset({
    "version.txt", "sos_commands", "sos_reports", "basic-environment.txt", "insights_commands",
    "cluster-scoped-resources", "namespaces",
})  # fmt: skip
"""One of these is in the folder to which an archive was unpacked."""
_IMAGE: Final = re.compile(r".*must-gather.*sha256-.*")
"""A folder in a must-gather, named for the image that collected it."""


def is_archive_name(name: str) -> bool:
    """Whether a file is one to read as a support archive, by its name."""
    return name.lower().endswith(SUFFIXES)


def is_archive_folder(path: Path) -> bool:
    """Whether a folder is an unpacked archive, and not one of evidence files or of archives."""
    if not path.is_dir():
        return False
    try:
        names = {each.name for each in path.iterdir()}
    except OSError:
        return True  # Reading it says why it cannot be read: a machine must not be left out.
    return bool(names & _MARKS) or any(map(_IMAGE.match, names)) or (path / "data" / "insights_commands").is_dir()
