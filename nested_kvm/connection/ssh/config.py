"""Reads the user's ssh-config, and looks hosts up in it. See ssh_config(5)."""

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, cast

import paramiko
from typing_extensions import override

from nested_kvm.connection.ssh import config_match
from nested_kvm.connection.ssh.config_options import SshOptions
from nested_kvm.errors import UsageError

DEFAULT_PATH = Path("~/.ssh/config")

_MAXIMUM_DEPTH = 16  # as OpenSSH's readconf.c
_HEADER = re.compile(r"\s*(host|match)(\s|=)", re.IGNORECASE)
_INCLUDE = re.compile(r"\s*include(?:\s*=\s*|\s+)(?P<files>.+)", re.IGNORECASE)
_TRAILING_COMMENT = re.compile(r"\s+#.*")
# paramiko treats a criterion that it does not know as one that matches.
_UNKNOWN_CRITERION = re.compile(r"\s*match\b.*\b(localnetwork|tagged|version|command|sessiontype)\b", re.IGNORECASE)
_parsing = threading.Lock()


class _Config(paramiko.SSHConfig):
    """paramiko's, without expanding ProxyCommand and ProxyJump: an address may override the user and port in them."""

    TOKENS_BY_CONFIG_KEY = {  # noqa: RUF012  # as in the base class
        keyword: tokens
        for keyword, tokens in paramiko.SSHConfig.TOKENS_BY_CONFIG_KEY.items()
        if keyword not in {"proxycommand", "proxyjump"}
    }

    @override
    def __init__(self) -> None:
        super().__init__()
        self._exec_results: dict[str, bool] = {}

    def _tokenize(self, config: Any, target_hostname: str, key: str, value: str) -> str:
        """Expand a value. For one without a token paramiko would look up names of this machine all the same."""
        if "%" not in value and "~" not in value:
            return value
        return cast("str", super()._tokenize(config, target_hostname, key, value))  # type: ignore[misc]  # the stubs leave it out

    def _does_match(
        self, match_list: list[dict[str, Any]], target_hostname: str, canonical: Any, final: Any, options: Any
    ) -> bool:
        """Decide on a block; `exec` comes last, as paramiko would run it with our standard input and no time limit."""
        commands = [each for each in match_list if each["type"] == "exec"]
        others = [each for each in match_list if each["type"] != "exec"]
        if others and not super()._does_match(others, target_hostname, canonical, final, options):  # type: ignore[misc]  # the stubs leave it out
            return False
        for each in commands:
            command = self._tokenize(options, target_hostname, "match-exec", each["param"])
            if self._should_fail(self._succeeds(command), each):  # type: ignore[attr-defined]  # as above
                return False
        return bool(match_list)

    def _succeeds(self, command: str) -> bool:
        """Run each command once in a run: it is asked for several times for each target."""
        if command not in self._exec_results:
            self._exec_results[command] = config_match.succeeds(command)
        return self._exec_results[command]


@dataclass(frozen=True, slots=True)
class SshConfig:
    """An ssh-config file with the files that it includes."""

    path: Path
    _config: paramiko.SSHConfig

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read `path`; without one, `~/.ssh/config` where there is one.

        A file is parsed once while it stays as it is.

        Raises:
            UsageError: it cannot be read or understood; the message names file and line.
        """
        file = (path or DEFAULT_PATH).expanduser()
        if path is None and not file.exists():
            return cls(file, _nothing(file))
        try:
            status = file.stat()
        except OSError as error:
            raise UsageError(f"{file}: the ssh-config cannot be read: {error.strerror}") from None
        with _parsing:
            return cls(file, _parse(file, status.st_mtime_ns, status.st_size))

    def lookup(self, host: str) -> SshOptions:
        """Return the options for `host`, a name as `ssh` takes it on its command line.

        Raises:
            UsageError: a value is invalid for its keyword; the message names file, keyword and host.
        """
        try:
            return _options(self._config, host)
        except (paramiko.SSHException, ValueError, KeyError, RuntimeError) as error:  # the last: ~nobody
            raise UsageError(f"{self.path}: for host {host}: {error}") from None


@lru_cache(maxsize=16_384)
def _options(config: paramiko.SSHConfig, host: str) -> SshOptions:
    """The options for a host, which several steps of its connection ask for."""
    return SshOptions.from_values(cast("Mapping[str, str | list[str] | None]", config.lookup(host)))


@lru_cache(maxsize=8)
def _nothing(_path: Path) -> paramiko.SSHConfig:
    return _Config.from_text("")


@lru_cache(maxsize=8)
def _parse(path: Path, _modified: int, _size: int) -> paramiko.SSHConfig:
    return _Config.from_text("\n".join(_lines(path, depth=0)))


def _lines(path: Path, depth: int) -> Iterator[str]:
    """Yield a file's lines with the lines of included files in their place.

    paramiko knows no Include. The header of the block that a file was included from is repeated
    behind it, so that the following lines still belong to that block.
    """
    block = "Host *"
    for number, line in _numbered_lines(path):
        where = f"{path}:{number}"
        include = _INCLUDE.fullmatch(line)
        if include is None:
            _check(line, where)
            block = line if _HEADER.match(line) else block
            yield line
            continue
        for file in _included_files(include["files"]):
            yield from _included_lines(file, block, where, depth + 1)
        yield block


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: the ssh-config cannot be read: {error.strerror}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        yield number, line if '"' in line else _TRAILING_COMMENT.sub("", line)


def _check(line: str, where: str) -> None:
    try:
        paramiko.SSHConfig.from_text(line)
    except (paramiko.ConfigParseError, ValueError) as error:
        raise UsageError(f"{where}: the ssh-config has a syntax error: {error}") from None
    criterion = _UNKNOWN_CRITERION.match(line)
    if criterion:
        raise UsageError(f"{where}: Match {criterion[1]} is not supported: use Host or Match host")


def _included_files(patterns: str) -> Iterator[Path]:
    for pattern in patterns.replace('"', " ").split():
        path = Path(pattern).expanduser()
        path = path if path.is_absolute() else DEFAULT_PATH.expanduser().parent / path
        yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _included_lines(path: Path, block: str, where: str, depth: int) -> Iterator[str]:
    if depth > _MAXIMUM_DEPTH:
        raise UsageError(f"{where}: Include is nested more than {_MAXIMUM_DEPTH} levels deep")
    lines = list(_lines(path, depth))
    if block != "Host *" and any(_HEADER.match(line) and line != "Host *" for line in lines):
        raise UsageError(f"{where}: {path} has Host or Match lines: include it above the first Host line")
    yield from lines
