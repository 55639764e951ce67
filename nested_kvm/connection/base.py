"""A connection to a target, whatever carries it, and the settings of all connections."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import testinfra.host

from nested_kvm.inventory.address import Address

MEBIBYTE = 1024 * 1024
DEFAULT_CONNECT_TIMEOUT = 10.0
STDERR_KEPT = 64 * 1024
"""Bytes of standard error that are kept; the rest is read, counted and dropped."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of connections, from the command line."""

    connect_timeout: float | None = None
    """Seconds for the TCP connection, the key exchange and authentication together.
    None: the ssh-config's for the target, else `DEFAULT_CONNECT_TIMEOUT`."""
    probe_timeout: float = 60.0
    """Seconds for one execution on a target."""
    answer_limit: int = 4 * MEBIBYTE
    """Bytes a target may write in one execution to its standard output, and again to its standard error."""
    ssh_config: Path | None = None
    """None: `~/.ssh/config` where there is one."""
    ssh_identity_file: Path | None = None
    sudo: bool = False
    """Run as root by `sudo -n`, which never prompts."""
    active_on_xen: bool = False
    """Start a test VM also in a guest of Xen, which an L2 under KVM can bring down."""
    sudo_user: str | None = None

    def for_address(self, address: Address) -> "Settings":
        """Return these settings with what an `ssh://` address gives for its own target after its `?`."""
        given = address.options
        timeout, key, config = (given.get(name) for name in ("timeout", "ssh_identity_file", "ssh_config"))
        user = given.get("sudo_user", self.sudo_user)
        return replace(
            self,
            connect_timeout=float(timeout) if timeout else self.connect_timeout,
            ssh_identity_file=Path(key) if key else self.ssh_identity_file,
            ssh_config=Path(config) if config else self.ssh_config,
            sudo=self.sudo or "sudo_user" in given or given.get("sudo", "").lower() == "true",
            sudo_user=user,
        )


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of one execution on a target.

    `exit_status` is None when the target sent none: the program was killed by a signal, or was left running.
    `stderr` is the first `STDERR_KEPT` bytes.
    """

    exit_status: int | None
    stdout: bytes
    stderr: bytes


class Stream(Protocol):
    """A program's standard input and output on the target: libvirt's RPC runs over one."""

    def recv(self, size: int, /) -> bytes:
        """Wait for up to `size` bytes; empty at the end."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of `data`."""

    def stderr(self) -> bytes:
        """Return the first `STDERR_KEPT` bytes of its standard error so far."""

    def close(self) -> None:
        """End the program."""


class Connection(ABC):
    """A connection to one target, opened once and used for everything."""

    name: str
    """The target's name in the inventory."""

    @property
    @abstractmethod
    def host(self) -> testinfra.host.Host:
        """Testinfra's view of the target, over this very connection."""

    @abstractmethod
    def execute(self, script: str, *arguments: str) -> CommandResult:
        """Run a POSIX `sh` script on the target, as root where `Settings.sudo` says so, in one execution.

        Raises:
            ConnectionFailed: the connection broke, or the target refused the execution.
            LimitExceeded: it took too long, or wrote too much; nothing more is run there.

        Both carry in `partial` what standard output had brought until then.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection. Closing twice does nothing."""


class StreamConnection(Protocol):
    """A connection that can start a program and exchange data with it: SSH."""

    @property
    def name(self) -> str:
        """The target's name in the inventory."""

    @property
    def probe_timeout(self) -> float:
        """Seconds that one execution may take."""

    def open_stream(self, program: str) -> Stream:
        """Start a program, given as a command for a POSIX shell, as root where `Settings.sudo` says so.

        Raises:
            ConnectionFailed: the connection broke, or the target refused the execution.
            LimitExceeded: it took too long.
        """
