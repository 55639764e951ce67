"""The user's SSH agent: queried for keys when they are needed, for at most ten seconds."""

import os
import socket
from functools import cached_property
from pathlib import Path

import paramiko
import paramiko.agent
from paramiko.pkey import PublicBlob

from nested_kvm.connection.ssh.certificate import SUFFIX

_SECONDS = 10.0


class Agent:
    """An SSH agent, if there is one. Its keys can sign until it is closed. `problem` is why it gave no keys."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._connection: _AgentAtSocket | None = None
        self.problem: str | None = None

    @cached_property
    def keys(self) -> tuple[paramiko.AgentKey, ...]:
        """All keys of the agent; none if it does not answer."""
        if self._path is None:
            return ()
        try:
            self._connection = _AgentAtSocket(self._path)
            return tuple(_with_certificate(key) for key in self._connection.get_keys())
        except (paramiko.SSHException, OSError) as error:
            self.problem = f"the agent at {self._path} does not answer ({error})"
            return ()

    def key(self, public: bytes) -> paramiko.AgentKey | None:
        """Return the key with that public half, given in SSH's wire format."""
        return next((key for key in self.keys if key.blob == public), None)

    def close(self) -> None:
        """Close the connection to the agent. Closing twice does nothing."""
        if self._connection is not None:
            self._connection.close()


def _with_certificate(key: paramiko.AgentKey) -> paramiko.AgentKey:
    """Make paramiko offer a certificate: of an RSA one it offers the bare key under the certificate's name."""
    if key.get_name().endswith(SUFFIX):
        key.public_blob = PublicBlob(key.get_name(), key.blob)  # type: ignore[assignment]  # the stubs know only the default
    return key


class _AgentAtSocket(paramiko.agent.AgentSSH):
    """A connection to an agent with a time limit: paramiko's supports only SSH_AUTH_SOCK, and has no limit."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_SECONDS)
        try:
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined]  # the stubs leave it out
        except (paramiko.SSHException, OSError):
            connection.close()
            raise

    def close(self) -> None:
        self._close()  # type: ignore[attr-defined]  # the stubs leave it out


def agent_socket(configured: str | None) -> str | None:
    """Return the path of the agent's socket: IdentityAgent's, else the environment's."""
    if configured is None or configured == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    return None if configured.lower() == "none" else str(Path(configured).expanduser())
