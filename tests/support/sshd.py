"""A real sshd on loopback.

As root it runs in its own namespaces, where the machine's accounts, names and /run are replaced; whatever
it starts ends with it. As a plain user it serves that user alone.
"""

import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

import pytest

from nested_kvm.connection import Settings
from nested_kvm.inventory.address import Address
from tests.support.needs import missing, program

ACCOUNTS = {"plain": "/bin/sh", "bashful": "/bin/bash", "locked-out": "/usr/sbin/nologin"}
"""Accounts of a namespaced sshd, with their login shells."""

_FIRST_UID = 61000
_READY_SECONDS = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_key(path: Path, kind: str = "ed25519", *, passphrase: str = "", form: Sequence[str] = ()) -> Path:
    bits = ["-b", "2048"] if kind == "rsa" else []
    command = [
        "ssh-keygen",
        "-q",
        "-t",
        kind,
        *bits,
        "-N",
        passphrase,
        "-C",
        "a comment",
        "-f",
        str(path),
        *form,
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def public(key: Path) -> str:
    """Return a key's public half as `type base64`."""
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


@dataclass
class Sshd:
    """One machine, as its visitors see it."""

    directory: Path
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    host_keys: Sequence[str] = ("ed25519",)
    hosts: Sequence[str] = ()
    """Lines of its /etc/hosts."""
    settings: Sequence[str] = ()
    """Lines of its sshd_config."""
    prelude: str = ""
    """Shell commands that are run in its namespaces before sshd."""

    def __post_init__(self) -> None:
        self.namespaced = missing("accounts") is None
        self.log = self.directory / "sshd.log"
        self.programs = self.directory / "bin"
        self.programs.mkdir()
        self.identity = make_key(self.directory / "identity")
        self.authorize(self.identity)
        self.keys = [make_key(self.directory / f"host_{kind}", kind) for kind in self.host_keys]

    @property
    def user(self) -> str:
        return "plain" if self.namespaced else getpass.getuser()

    @property
    def known_name(self) -> str:
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"

    @property
    def pid(self) -> int:
        """The process that the test started; as root sshd is its only child."""
        return self._process.pid

    @property
    def logins(self) -> int:
        return self.log.read_text().count("Accepted publickey")

    @property
    def executions(self) -> int:
        return self.log.read_text().count("Starting session: command")

    def address(self, user: str | None = None) -> Address:
        return Address.parse(f"ssh://{user or self.user}@{self.host}:{self.port}")

    def authorize(self, *keys: Path) -> None:
        (self.directory / "authorized_keys").write_text("".join(f"{public(key)}\n" for key in keys))

    def known_hosts(self, *names: str) -> str:
        """Return the known_hosts lines of this machine under `names`, else under its address."""
        return "".join(f"{name} {public(key)}\n" for name in names or (self.known_name,) for key in self.keys)

    def add_program(self, name: str, script: str) -> None:
        """Put a program in front of the machine's own."""
        path = self.programs / name
        path.write_text(dedent(script))
        path.chmod(0o755)

    def client(self, *, known_hosts: str | None = None, config: Sequence[str] = (), **settings: object) -> Settings:
        """Return settings of a user who knows this machine and has its key; `config` is put in front."""
        known = self.directory / "known_hosts"
        known.write_text(self.known_hosts() if known_hosts is None else known_hosts)
        lines = [*config, f"UserKnownHostsFile {known}", "GlobalKnownHostsFile none", "IdentitiesOnly yes"]
        lines.append(f"IdentityFile {self.identity}")
        path = self.directory / "config"
        path.write_text("".join(f"{line}\n" for line in lines))
        defaults: dict[str, object] = {"connect_timeout": 60.0, "probe_timeout": 10.0, "ssh_config": path}
        return Settings(**(defaults | settings))  # type: ignore[arg-type]  # a test's own settings, checked by use

    def start(self) -> None:
        config = self.directory / "sshd_config"
        config.write_text("".join(f"{line}\n" for line in self._config()))
        command = [str(program("sshd")), "-D", "-f", str(config), "-E", str(self.log)]
        if self.namespaced:
            command = [
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-ec",
                self._script(),
                "sh",
                *command,
            ]
        # It must not outlive tests that are killed.
        command = ["setpriv", "--pdeathsig", "KILL", *command]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self._wait_until_ready()

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _config(self) -> list[str]:
        return [
            *self.settings,
            f"ListenAddress {self.host}:{self.port}",
            *(f"HostKey {key}" for key in self.keys),
            f"AuthorizedKeysFile {self.directory}/authorized_keys",
            f"SetEnv PATH={self.programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PidFile none",
            "LogLevel VERBOSE",
        ]

    def _script(self) -> str:
        """Return the script that makes a machine of the namespaces, and then becomes sshd."""
        files = {
            "passwd": self._passwd(),
            "group": self._group(),
            "hosts": ("127.0.0.1 localhost", *self.hosts),
        }
        for name, lines in files.items():
            (self.directory / name).write_text("".join(f"{line}\n" for line in lines))
        return "\n".join(
            [
                "mount --make-rprivate /",
                "mount -t proc proc /proc",
                "mount -t tmpfs -o mode=755 none /run",
                "mkdir /run/sshd",
                *(f"mount --bind {self.directory}/{name} /etc/{name}" for name in files),
                self.prelude,
                'exec "$@"',
            ]
        )

    def _passwd(self) -> Iterator[str]:
        yield from Path("/etc/passwd").read_text().splitlines()
        for uid, (name, shell) in enumerate(ACCOUNTS.items(), start=_FIRST_UID):
            yield f"{name}:*:{uid}:{uid}::/:{shell}"

    def _group(self) -> Iterator[str]:
        yield from Path("/etc/group").read_text().splitlines()
        for gid, name in enumerate(ACCOUNTS, start=_FIRST_UID):
            yield f"{name}:x:{gid}:"

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _READY_SECONDS
        while not (self.log.exists() and "Server listening" in self.log.read_text()):
            assert self._process.poll() is None, "sshd ended at once"
            assert time.monotonic() < end, "sshd does not listen"
            time.sleep(0.01)


SshdFactory = Callable[..., Sshd]


@pytest.fixture(scope="module")
def start_sshd() -> Iterator[SshdFactory]:
    """Start any number of sshd; each takes what `Sshd` takes."""
    with ExitStack() as stack:

        def start(**options: object) -> Sshd:
            # Not pytest's own directory: the accounts must be able to enter it.
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="sshd-")))
            directory.chmod(0o755)
            sshd = Sshd(directory, **options)  # type: ignore[arg-type]  # passed on as they come
            sshd.start()
            stack.callback(sshd.stop)
            return sshd

        yield start


@pytest.fixture(scope="module")
def sshd(start_sshd: SshdFactory) -> Sshd:
    """One machine for all tests of a file."""
    return start_sshd()
