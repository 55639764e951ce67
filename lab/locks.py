"""Locks between labs that share files; the kernel releases one when its process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.progress import say


@contextmanager
def locked(path: Path, how: int = 0, *, waiting: str = "") -> Iterator[None]:
    """Hold the exclusive lock of a file, which is made if it is missing.

    Args:
        path: the file; its directory exists.
        how: `fcntl.LOCK_NB` to raise instead of waiting.
        waiting: what to say where another holds it, before waiting for that.

    Raises:
        BlockingIOError: another holds it.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | how | (fcntl.LOCK_NB if waiting else 0))
        except BlockingIOError:
            if not waiting:
                raise
            say(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
