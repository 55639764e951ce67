"""What the collector asks of a way to a target, whatever it is made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import testinfra.host

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """How targets are reached: the command line's options, once for the whole run."""

    connect_timeout: float = 10.0
    """Seconds for the TCP connection, the key exchange and authentication together."""
    probe_timeout: float = 60.0
    """Seconds for one execution on a target."""
    answer_limit: int = 4 * MEBIBYTE
    """Bytes a target may answer to one execution, its standard output and error together."""
    ssh_config: Path | None = None
    """None: `~/.ssh/config` where there is one."""
    ssh_identity_file: Path | None = None
    sudo: bool = False
    """Run as root by `sudo -n`, which never prompts."""
    sudo_user: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one execution on a target answered: `exit_status` is None when the target sent none."""

    exit_status: int | None
    stdout: bytes
    stderr: bytes


class Stream(Protocol):
    """A program's standard input and output on the target: libvirt's RPC runs over one."""

    def recv(self, size: int, /) -> bytes:
        """Wait for up to `size` bytes; empty at the end."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of `data`."""

    def close(self) -> None:
        """End the program."""


class Connection(Protocol):
    """One way to one target, opened once and used for everything."""

    @property
    def host(self) -> testinfra.host.Host:
        """Testinfra's view of the target, over this very connection."""

    def execute(self, script: str, *arguments: str) -> Answer:
        """Run a POSIX `sh` script on the target, as root where `Settings.sudo` says so, in one execution.

        Raises:
            ConnectionFailed: the connection broke, or the target refused the execution.
            LimitExceeded: it took too long, or answered too much.
        """

    def close(self) -> None:
        """Let go of the target. Closing twice does nothing."""
