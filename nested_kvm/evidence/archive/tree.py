"""The files of a support archive, read once and kept in memory: a tar or an unpacked folder, never trusted.

Nothing is unpacked to a disk, no link is followed by the operating system, and what no kind of archive needs is skipped
while it passes. So a member cannot be written anywhere, whatever it is called.
"""

import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, cast

from nested_kvm.errors import ArchiveUnusable, FileUnusable
from nested_kvm.evidence.archive import limits
from nested_kvm.evidence.archive.stream import BoundedStream
from nested_kvm.util.files import open_regular
from nested_kvm.util.text import printable

Wanted = Callable[[str], bool]
"""Whether a file is evaluated, by its path in the archive."""
_LINKS: Final = 16
"""Links in a row that are followed within the archive."""
_LINK_DEPTH: Final = 2
"""Folders above a link that may be the folder of a wanted file: `<archive>/<data>/lib`."""
_ROOTS: Final = 200
"""First folders of one archive: a must-gather has one for each image, any other archive one."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BAD_NAME: Final = re.compile(r"[\0-\x1f\x7f]")


@dataclass
class ArchiveTree:
    """What an archive holds of what is wanted, by path, without `.` and `..` and without a slash in front."""

    name: str
    """The archive's file or folder, without its directory."""
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """The target of each symbolic link, as it is written."""
    denied: dict[str, str] = field(default_factory=dict)
    """Files of an unpacked folder that cannot be read, and why."""
    times: dict[str, datetime] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    """The first folders, whatever is in them."""
    kept: int = 0

    def keep(self, path: str, data: bytes, modified: float) -> None:
        """Keep a file.

        Raises:
            ArchiveUnusable: the archive has it twice, or holds too much.
        """
        if path in self.files:
            raise ArchiveUnusable(f"it has {printable(path)} twice: which of them is right is unknown")
        self.files[path] = data
        self.kept += len(data)
        if self.kept > limits.KEPT:
            raise ArchiveUnusable(f"its files to evaluate have more than {limits.KEPT // limits.MEBIBYTE} MiB")
        if 0 < modified < 32503680000:  # noqa: PLR2004 - the year 3000: other times are no times
            self.times[path] = datetime.fromtimestamp(modified, UTC)
        self._count()

    def link(self, path: str, target: str) -> None:
        """Keep a symbolic link."""
        self.links[path] = target
        self._count()

    def _count(self) -> None:
        if len(self.files) + len(self.links) > limits.KEPT_FILES:
            raise ArchiveUnusable(f"more than {limits.KEPT_FILES} of its files are to be evaluated")

    def resolved(self, path: str, root: str = "") -> str | None:
        """Follow links within the archive below `root`, also of the folders above; None: they lead out, or in a circle.

        An absolute target means `root`, as if the archive were the machine.
        """
        todo, done, followed = path.split("/")[::-1], list[str](), 0
        base = [part for part in root.split("/") if part]
        while todo:
            part = todo.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                if len(done) <= len(base):
                    return None
                done.pop()
                continue
            done.append(part)
            target = self.links.get("/".join(done))
            if target is None:
                continue
            followed += 1
            if followed > _LINKS:
                return None
            done = list(base) if target.startswith("/") else done[:-1]
            todo += target.split("/")[::-1]
        return "/".join(done)


def read_tree(path: Path, wanted: Wanted) -> ArchiveTree:
    """Read a tar, compressed or not, or an unpacked folder.

    Raises:
        ArchiveUnusable: it is broken, or exceeds a bound; the message says what is wrong where, and what to do.
    """
    tree = ArchiveTree(path.name or str(path))
    if path.is_dir():
        _read_folder(path.resolve(), tree, wanted)
        return tree
    try:
        with open_regular(path) as file:
            _read_tar(BoundedStream(file), tree, wanted)
    except FileUnusable as error:
        raise ArchiveUnusable(f"it cannot be read: {error}") from None
    return tree


class _Member(tarfile.TarInfo):
    """A member of a tar. Sparse files are refused: their maps are unbounded, and no tool that is read makes them."""

    def _proc_sparse(self, _: tarfile.TarFile) -> tarfile.TarInfo:
        raise ArchiveUnusable(f"{printable(self.name)} is a sparse file: pack it again without --sparse")

    def _proc_gnusparse_00(self, *_: object) -> None:
        raise ArchiveUnusable(f"{printable(self.name)} is a sparse file: pack it again without --sparse")

    _proc_gnusparse_01 = _proc_gnusparse_10 = _proc_gnusparse_00


def _read_tar(stream: BoundedStream, tree: ArchiveTree, wanted: Wanted) -> None:
    try:
        with tarfile.TarFile(
            fileobj=cast("IO[bytes]", stream), tarinfo=_Member, encoding="utf-8", errors="surrogateescape"
        ) as tar:
            for member in _members(tar):
                _keep_member(tar, member, tree, wanted)
    except (tarfile.TarError, OverflowError, RecursionError, ValueError, OSError) as error:
        kind = "" if stream.compression == "tar" else f" in {stream.compression}"
        raise ArchiveUnusable(f"it is not a complete tar{kind}: {printable(error)}") from None
    stream.read_to_end()


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for number in range(limits.MEMBERS + 1):
        member = tar.next()
        tar.members.clear()  # type: ignore[attr-defined] # tarfile keeps each member, and there may be many
        if member is None:
            return
        if number == limits.MEMBERS:
            raise ArchiveUnusable(f"it has more than {limits.MEMBERS} members")
        yield member


def _keep_member(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: ArchiveTree, wanted: Wanted) -> None:
    path = _checked(member.name)
    tree.roots.add(path.partition("/")[0])
    if len(tree.roots) > _ROOTS:
        raise ArchiveUnusable("it has hundreds of first folders: no support tool makes such a one")
    if member.isdir() or not _is_kept(path, wanted, is_link=member.issym()):
        return
    if member.issym():
        tree.link(path, _target(member.linkname, path))
    elif member.isreg():
        if member.size > limits.FILE:
            raise ArchiveUnusable(f"{printable(path)} has more than {limits.FILE // limits.MEBIBYTE} MiB")
        tree.keep(path, _content(tar, member), member.mtime)
    elif member.islnk():
        original = _checked(member.linkname)
        if original not in tree.files:
            raise ArchiveUnusable(f"{printable(path)} is a hard link to {printable(original)}, which it does not hold")
        tree.keep(path, tree.files[original], member.mtime)
    else:
        raise ArchiveUnusable(f"{printable(path)} is a device or a FIFO, where a file belongs")


def _is_kept(path: str, wanted: Wanted, *, is_link: bool) -> bool:
    """Whether a member is kept: what is wanted, and the links above it, such as `lib -> usr/lib`.

    Raises:
        ArchiveUnusable: its name has control characters.
    """
    if not (wanted(path) or (is_link and path.count("/") <= _LINK_DEPTH)):
        return False
    if _BAD_NAME.search(path):
        raise ArchiveUnusable(f"a name in it has control characters: {printable(path, 80)}")
    return True


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    source = tar.extractfile(member)
    if source is None:
        raise ArchiveUnusable(f"{printable(member.name)} has no content")
    pieces: list[bytes] = []
    while piece := source.read(64 * 1024):
        pieces.append(piece)
    data = b"".join(pieces)
    if len(data) != member.size:
        raise ArchiveUnusable(f"it ends within {printable(member.name)}: it was cut while it was copied")
    return data


def _checked(name: str) -> str:
    """A member's path without `./`.

    Raises:
        ArchiveUnusable: it is absolute, leads out of the archive, or is longer or deeper than any path.
    """
    if name.startswith("/"):
        raise ArchiveUnusable(f"it names {printable(name, 80)}, an absolute path: no support tool does")
    if len(name.encode(errors="surrogateescape")) > limits.NAME:
        raise ArchiveUnusable(f"a name in it has more than {limits.NAME} bytes: {printable(name, 40)}")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ArchiveUnusable(f"it names {printable(name, 80)}, which leads out of it: no support tool does")
    if len(parts) > limits.DEPTH:
        raise ArchiveUnusable(f"it has folders in one another, more than {limits.DEPTH}: {printable(name, 40)}")
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", "/".join(parts))


def _target(target: str, path: str) -> str:
    if len(target.encode(errors="surrogateescape")) > limits.NAME or _BAD_NAME.search(target):
        raise ArchiveUnusable(f"the link {printable(path, 80)} in it has no valid target")
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", target)


def _read_folder(folder: Path, tree: ArchiveTree, wanted: Wanted) -> None:
    """Read a folder without leaving it: each entry is opened below the folder that holds it, no link is followed."""
    seen = 0
    try:
        for at, folders, names, handle in os.fwalk(folder, onerror=_raise, follow_symlinks=False):
            inside = Path(at).relative_to(folder).parts
            for name in [*folders, *names]:
                seen += 1
                if seen > limits.MEMBERS:
                    raise ArchiveUnusable(f"it has more than {limits.MEMBERS} members")
                _keep_entry(handle, name, "/".join((*inside, name)), tree, wanted)
            if len(inside) > limits.DEPTH:
                raise ArchiveUnusable(f"it has folders in one another, more than {limits.DEPTH}")
    except OSError as error:
        raise ArchiveUnusable(f"it cannot be read: {error.strerror}") from None


def _raise(error: OSError) -> None:
    raise error


def _keep_entry(handle: int, name: str, path: str, tree: ArchiveTree, wanted: Wanted) -> None:
    tree.roots.add(path.partition("/")[0])
    status = os.stat(name, dir_fd=handle, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode) or not _is_kept(path, wanted, is_link=stat.S_ISLNK(status.st_mode)):
        return
    if stat.S_ISLNK(status.st_mode):
        tree.link(_checked(path), _target(os.readlink(name, dir_fd=handle), path))
    elif not stat.S_ISREG(status.st_mode):
        raise ArchiveUnusable(f"{printable(path)} is a device or a FIFO, where a file belongs")
    elif status.st_size > limits.FILE:
        raise ArchiveUnusable(f"{printable(path)} has more than {limits.FILE // limits.MEBIBYTE} MiB")
    else:
        _keep_file(handle, name, _checked(path), tree)


def _keep_file(handle: int, name: str, path: str, tree: ArchiveTree) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        with os.fdopen(os.open(name, flags, dir_fd=handle), "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(limits.FILE + 1)
    except PermissionError as error:
        tree.denied[path] = error.strerror or "permission denied"
        return
    if not stat.S_ISREG(status.st_mode) or len(data) > limits.FILE:
        raise ArchiveUnusable(f"{printable(path)} changed while it was read")
    tree.keep(path, data, status.st_mtime)
