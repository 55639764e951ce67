"""The keys that a user has: in files, and in an agent. No passwords, and never a prompt."""

import os
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import paramiko
import paramiko.agent
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import UnknownKeyType

from nested_kvm.connection.connection import Settings
from nested_kvm.connection.ssh_options import SshOptions
from nested_kvm.errors import UsageError

_DEFAULT_FILES = tuple(Path("~/.ssh") / name for name in ("id_ed25519", "id_ecdsa", "id_rsa"))
_AGENT_SECONDS = 10.0
_loading = threading.Lock()


class _KeyUnusableError(Exception):
    """A key file cannot be used; the message says which and why."""


@dataclass
class Credentials:
    """Keys in the order in which they are offered. `problems` fills up while they are read."""

    files: tuple[Path, ...]
    agent_socket: str | None
    required: bool
    """Whether the files were asked for: then one that is missing is a problem."""
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, options: SshOptions, settings: Settings) -> "Credentials":
        """Choose as ssh(1) does: `--ssh-identity-file`, else every IdentityFile, else the usual files."""
        named = (settings.ssh_identity_file,) if settings.ssh_identity_file else options.identity_files
        agent = None if options.identities_only else _agent_socket(options.identity_agent)
        return cls(named or _DEFAULT_FILES, agent, required=bool(named))

    def keys(self) -> Generator[paramiko.PKey, None, None]:
        """Yield each key once: files first, so that a full agent does not use up sshd's MaxAuthTries.

        The agent's keys can sign until the generator is closed.
        """
        offered: set[bytes] = set()
        for key in self._file_keys():
            offered.add(key.asbytes())
            yield key
        if self.agent_socket is not None:
            yield from (key for key in self._agent_keys(self.agent_socket) if key.asbytes() not in offered)

    def _file_keys(self) -> Iterator[paramiko.PKey]:
        for file in self.files:
            try:
                yield load_key(file.expanduser())
            except FileNotFoundError:
                if self.required:
                    self.problems.append(f"{file} does not exist")
            except _KeyUnusableError as error:
                self.problems.append(str(error))

    def _agent_keys(self, path: str) -> Iterator[paramiko.PKey]:
        try:
            agent = _Agent(path)
        except (paramiko.SSHException, OSError) as error:
            self.problems.append(f"the agent at {path} does not answer ({error})")
            return
        with closing(agent):
            yield from agent.get_keys()


class _Agent(paramiko.agent.AgentSSH):
    """An agent at a given socket. paramiko's own knows only SSH_AUTH_SOCK, and waits for ever."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_AGENT_SECONDS)
        try:
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined]  # the stubs leave it out
        except (paramiko.SSHException, OSError):
            connection.close()
            raise

    def close(self) -> None:
        self._close()  # type: ignore[attr-defined]  # the stubs leave it out


def check_identity_file(settings: Settings) -> None:
    """Look at `--ssh-identity-file` before anything starts.

    Raises:
        UsageError: it is no private key that can be used without a passphrase.
    """
    if settings.ssh_identity_file is None:
        return
    try:
        load_key(settings.ssh_identity_file.expanduser())
    except FileNotFoundError:
        raise UsageError(f"--ssh-identity-file: {settings.ssh_identity_file} does not exist") from None
    except _KeyUnusableError as error:
        raise UsageError(f"--ssh-identity-file: {error}") from None


def load_key(file: Path) -> paramiko.PKey:
    """Read a private key, once while the file stays as it is."""
    status = file.stat()
    with _loading:
        return _load(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _load(file: Path, _modified: int, _size: int) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(file)
    except TypeError:  # cryptography's word for a missing passphrase
        raise _KeyUnusableError(f"{file} is encrypted: load it into an agent by ssh-add") from None
    except OSError as error:
        raise _KeyUnusableError(f"{file} cannot be read ({error.strerror})") from None
    except (ValueError, UnknownKeyType, UnsupportedAlgorithm, paramiko.SSHException):
        raise _KeyUnusableError(f"{file} is no private key of a kind that is supported") from None


def _agent_socket(configured: str | None) -> str | None:
    if configured is None or configured == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    return None if configured.lower() == "none" else str(Path(configured).expanduser())
