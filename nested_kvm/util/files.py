"""Reading files within bounds, and writing them atomically under safe names."""

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import Final
from urllib.parse import quote

from nested_kvm.errors import FileMissing, FileUnusable

_STEM_LIMIT: Final = 200
_BUFFER: Final = 256 * 1024
_MEBIBYTE: Final = 1024 * 1024


def given_path(word: str) -> Path:
    """The path that a command line names. A shell leaves the `~` of `--option=~/file` as it is."""
    return Path(os.path.expanduser(word))  # noqa: PTH111 - Path's raises where there is no such user


def read_bounded(path: Path, limit: int, *, regular: bool = True) -> bytes:
    """Read a whole file of at most `limit` bytes, without ever waiting for a writer.

    Args:
        path: the file.
        limit: its largest size, in bytes.
        regular: refuse a FIFO, a device, a socket or a directory; False also reads a pipe, to its end.

    Raises:
        FileMissing: it does not exist.
        FileUnusable: it cannot be opened, is not a regular file, or is too large; the message does not name the file.
    """
    with _as_file_unusable():
        descriptor = _open_regular(path) if regular else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    if len(data) > limit:
        raise FileUnusable(f"is larger than {limit // _MEBIBYTE} MiB")
    return data


def open_regular(path: Path, *, follow_links: bool = True) -> BufferedReader:
    """Open a regular file to read it, without ever waiting for a writer.

    Args:
        path: the file.
        follow_links: False refuses a symbolic link in its place.

    Raises:
        FileMissing: it does not exist.
        FileUnusable: it cannot be opened, or is not a regular file; the message does not name the file.
    """
    with _as_file_unusable():
        if not follow_links and path.is_symlink():
            raise FileUnusable("is a symbolic link")
        return os.fdopen(_open_regular(path, 0 if follow_links else os.O_NOFOLLOW), "rb")


@contextmanager
def _as_file_unusable() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileMissing(error.strerror) from None
    except OSError as error:
        raise FileUnusable(error.strerror or str(error)) from None
    except ValueError:  # a NUL in the name
        raise FileUnusable("is not a valid file name") from None


def _open_regular(path: Path, flags: int = 0) -> int:
    """Open a regular file. `O_NONBLOCK`: it may have been exchanged for a FIFO since its kind was checked."""
    _refuse_other_kinds(path.stat())
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | flags)
    try:
        _refuse_other_kinds(os.fstat(descriptor))
    except FileUnusable:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_other_kinds(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise FileUnusable("Is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise FileUnusable("is not a regular file")


def file_stem(name: str) -> str:
    """Return a file name for a target's name, which cannot lead to another directory; a long one ends in its hash."""
    stem = quote(name, safe="@+ ,:=").replace(".", "%2E", 1) if name.startswith(".") else quote(name, safe="@+ ,:=")
    return stem if len(stem) <= _STEM_LIMIT else f"{stem[:_STEM_LIMIT]}~{sha256(name.encode()).hexdigest()[:16]}"


def write_atomically(path: Path, text: str, *, private: bool = False) -> None:
    """Write `text` as UTF-8 to `path`, through a temporary file beside it; `private`: only its owner may read it.

    Lone surrogates, which a target can smuggle into a name, are written as `?`.
    """
    write_pieces_atomically(path, [text], private=private)


def write_pieces_atomically(path: Path, pieces: Iterable[str], *, private: bool = False) -> None:
    """Write an iterable of text chunks to `path` atomically, as UTF-8."""
    beside = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "wb", buffering=_BUFFER) as file:
            for piece in pieces:
                file.write(piece.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
