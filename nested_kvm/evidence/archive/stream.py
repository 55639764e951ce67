"""A compressed tar as a stream of bytes, bounded while it is read: nothing of it is written to a disk."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, Final, Protocol

from nested_kvm.errors import ArchiveUnusable
from nested_kvm.evidence.archive import limits

_CHUNK: Final = 128 * 1024
_HISTORY: Final = 1024
"""Bytes behind the position that can be read again: tarfile looks one byte back."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the manners of bz2's and lzma's: what did not fit is kept for the next call."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


_KINDS: Final[dict[bytes, tuple[str, Callable[[], _Decompressor]]]] = {
    b"\xfd7zXZ\0": ("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.DECOMPRESSOR)),
    b"\x1f\x8b": ("gzip", _Gzip),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
}
"""The first bytes of a compressed file, whatever it is called."""
_FOREIGN: Final = {
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it with `zstd -d`, and give the tar"),
    b"PK\x03\x04": ("zip", "unpack it, and give the folder"),
    b"7z\xbc\xaf": ("7z", "unpack it, and give the folder"),
    b"-----BEGIN PGP": ("encrypted with PGP", "decrypt it first"),
    b"Salted__": ("encrypted with openssl", "decrypt it first"),
    b"\x85": ("encrypted with PGP", "decrypt it first"),
}


class BoundedStream:
    """The decompressed bytes of an archive, forwards only. It raises `ArchiveUnusable` once a bound is exceeded."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0
        self._packed = 0
        self._buffer = b""
        self._history = b""
        self._more = b""
        head = file.read(16)
        file.seek(0)
        self.compression = _compression(head)
        self._make = next((make for magic, (_, make) in _KINDS.items() if head.startswith(magic)), None)
        self._decompressor = None if self._make is None else self._make()

    def tell(self) -> int:
        """The position, in bytes after decompression."""
        return self._position - len(self._buffer)

    def seek(self, position: int) -> int:
        """Go forwards by reading, or a few bytes back."""
        back = self.tell() - position
        if 0 < back <= len(self._history):
            self._buffer = self._history[-back:] + self._buffer
            self._history = self._history[:-back]
        elif back > 0:
            raise ArchiveUnusable("its members overlap: it is broken")
        while (left := position - self.tell()) > 0 and self._take(min(left, _CHUNK)):
            pass
        return self.tell()

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end."""
        if not 0 <= size <= limits.ONE_READ:
            raise ArchiveUnusable(f"a header of it claims {size} bytes: no real one is that large")
        pieces: list[bytes] = []
        while size > 0 and (piece := self._take(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def read_to_end(self) -> None:
        """Read what follows the tar's end, so that the checksums of the compressed data are compared.

        Raises:
            ArchiveUnusable: the tar has no end, or the data is broken or cut.
        """
        if self._history[-512:] != bytes(512):
            raise ArchiveUnusable("it ends without the end of a tar: it was cut while it was copied")
        while self._take(_CHUNK):
            pass

    def close(self) -> None:
        """Do nothing: who opened the file closes it."""

    def _take(self, size: int) -> bytes:
        if not self._buffer:
            self._buffer = self._next()
        piece, self._buffer = self._buffer[:size], self._buffer[size:]
        self._history = (self._history + piece)[-_HISTORY:]
        return piece

    def _next(self) -> bytes:
        try:
            data = self._unpacked()
        except (lzma.LZMAError, zlib.error, OSError, EOFError, ValueError) as error:
            raise ArchiveUnusable(f"its {self.compression} data is broken at byte {self._packed}: {error}") from None
        self._position += len(data)
        if self._position > limits.UNPACKED:
            raise ArchiveUnusable(f"it unpacks to more than {limits.UNPACKED // limits.MEBIBYTE} MiB")
        if self._position > limits.RATIO_FREE and self._position > limits.RATIO * self._packed:
            raise ArchiveUnusable(f"it unpacks to more than {limits.RATIO} times its size: no real one does")
        return data

    def _unpacked(self) -> bytes:
        if self._decompressor is None:
            return self._packed_bytes()
        while True:
            if self._decompressor.eof:
                rest = (self._decompressor.unused_data or self._packed_bytes()).lstrip(b"\0")
                if not rest:
                    return b""
                assert self._make is not None
                self._decompressor, self._more = self._make(), rest
            data, self._more = self._more, b""
            if not data and getattr(self._decompressor, "needs_input", True):
                data = self._packed_bytes()
                if not data:
                    raise EOFError("it ends before its end: it was cut while it was copied")
            found = self._decompressor.decompress(data, _CHUNK)
            if found:
                return found

    def _packed_bytes(self) -> bytes:
        data = self._file.read(_CHUNK)
        self._packed += len(data)
        return data


def _compression(head: bytes) -> str:
    for magic, (name, advice) in _FOREIGN.items():
        if head.startswith(magic):
            raise ArchiveUnusable(f"it is {name}: {advice}")
    return next((name for magic, (name, _) in _KINDS.items() if head.startswith(magic)), "tar")
