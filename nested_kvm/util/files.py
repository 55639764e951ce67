"""Files that are whole or not there, under names that lead nowhere else."""

import os
import secrets
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

_STEM_LIMIT: Final = 200
_BUFFER: Final = 256 * 1024


def file_stem(name: str) -> str:
    """A file name that no target's name can make into a path; a long one is told apart by its hash."""
    stem = quote(name, safe="@+ ,:=").replace(".", "%2E", 1) if name.startswith(".") else quote(name, safe="@+ ,:=")
    return stem if len(stem) <= _STEM_LIMIT else f"{stem[:_STEM_LIMIT]}~{sha256(name.encode()).hexdigest()[:16]}"


def write_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, through a temporary file beside it.

    Lone surrogates, which a target can smuggle into a name, are written as `?`.
    """
    write_pieces_atomically(path, [text])


def write_pieces_atomically(path: Path, pieces: Iterable[str]) -> None:
    """Do the same with a text that is made as it is written."""
    beside = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with beside.open("xb", buffering=_BUFFER) as file:
            for piece in pieces:
                file.write(piece.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
