"""Parse known_hosts, by sshd(8)'s "SSH_KNOWN_HOSTS FILE FORMAT"; `host_key_check.py` checks keys against it.

paramiko's reader supports neither markers nor patterns, and raises on a broken line.
"""

import base64
import binascii
import fnmatch
import hmac
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_parsing = threading.Lock()


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line of known_hosts: `key` in SSH's wire format, `marker` empty, `@revoked` or `@cert-authority`."""

    marker: str
    patterns: tuple[str, ...]
    key_type: str
    key: bytes
    source: str
    """`file:line`."""

    def is_for(self, name: str) -> bool:
        """Return whether the line is for `name`: a pattern matches, and no negated one does."""
        if any(_matches(pattern[1:], name) for pattern in self.patterns if pattern.startswith("!")):
            return False
        return any(_matches(pattern, name) for pattern in self.patterns)


class KnownHosts:
    """The known keys of several files. A host is `name`, or `[name]:port` where the port is not 22."""

    def __init__(self, keys: Iterable[KnownKey]) -> None:
        self._by_name: dict[str, list[KnownKey]] = defaultdict(list)
        self._others: list[KnownKey] = []
        for key in keys:
            self._add(key)

    def _add(self, key: KnownKey) -> None:
        if any(character in pattern for pattern in key.patterns for character in "*?!|"):
            self._others.append(key)
            return
        for name in key.patterns:
            self._by_name[name.lower()].append(key)

    @classmethod
    def load(cls, files: Iterable[Path]) -> "KnownHosts":
        """Read the files that exist. A line without a valid key is skipped, as OpenSSH does."""
        return _load(tuple((file, *_stamp(file)) for file in files))

    def keys_of(self, name: str) -> list[KnownKey]:
        """Return the known keys of `name`."""
        return [key for key in self._lines_for(name) if not key.marker]

    def revocation(self, names: Iterable[str], *keys: bytes) -> KnownKey | None:
        """Return the line that revokes one of `keys` for one of `names`."""
        lines = (line for name in names for line in self._lines_for(name))
        return next((line for line in lines if line.marker == "@revoked" and line.key in keys), None)

    def authorities(self, names: Iterable[str]) -> list[KnownKey]:
        """Return the certificate authorities for one of `names`."""
        return [line for name in names for line in self._lines_for(name) if line.marker == "@cert-authority"]

    def _lines_for(self, name: str) -> Iterator[KnownKey]:
        name = name.lower()
        yield from self._by_name.get(name, ())
        yield from (key for key in self._others if key.is_for(name))


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        return _is_hash_of(pattern, name)
    return _expression(pattern.lower()).fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    """Compile a pattern: only `*` and `?` are special. fnmatch's expressions never backtrack past a `*`."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def _is_hash_of(pattern: str, name: str) -> bool:
    """Return whether `|1|salt|hash` is for `name`: the hash is HMAC-SHA1 of the name with the salt as key."""
    try:
        salt, digest = (base64.b64decode(part) for part in pattern[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


def _load(files: tuple[tuple[Path, int, int], ...]) -> KnownHosts:
    with _parsing:
        return _parse(files)


@lru_cache(maxsize=32)
def _parse(files: tuple[tuple[Path, int, int], ...]) -> KnownHosts:
    return KnownHosts(key for file, _modified, _size in files for key in _keys(file))


def _keys(file: Path) -> Iterator[KnownKey]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, start=1):
        key = _key(line, f"{file}:{number}")
        if key is not None:
            yield key


def _key(line: str, source: str) -> KnownKey | None:
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return None
    marker = fields.pop(0) if fields[0].startswith("@") else ""
    try:
        names, key_type, text = fields[:3]
        key = base64.b64decode(text, validate=True)
    except ValueError:  # also binascii.Error
        return None
    return KnownKey(marker, tuple(names.split(",")), key_type, key, source)
