"""SHA-256 of files, also of one that is read by someone else meanwhile."""

from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import Final

from nested_kvm.errors import FileUnusable
from nested_kvm.util.files import open_regular

_CHUNK: Final = 1024 * 1024


class HashedFile:
    """A stream that hashes what is read from it, so that what was parsed is what was hashed."""

    def __init__(self, stream: BufferedReader, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit
        self._digest = sha256()

    def read(self, size: int = -1) -> bytes:
        """Read on.

        Raises:
            FileUnusable: the file is larger than its limit, in bytes.
        """
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise FileUnusable(f"is larger than {self._limit // _CHUNK} MiB")
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        """Return the digest of the whole file: what was not read yet is read now.

        Raises:
            FileUnusable: the file is larger than its limit.
        """
        while self.read(_CHUNK):
            pass
        return self._digest.hexdigest()


def sha256_of(path: Path, limit: int, *, follow_links: bool = True) -> str:
    """Return the SHA-256 of a regular file of at most `limit` bytes, in hexadecimal.

    Raises:
        FileMissing: it does not exist.
        FileUnusable: it cannot be read, is not a regular file, or is too large; the message does not name the file.
    """
    with open_regular(path, follow_links=follow_links) as stream:
        try:
            return HashedFile(stream, limit).hexdigest()
        except OSError as error:
            raise FileUnusable(error.strerror or str(error)) from None
