"""The lab's configuration: its release and CPU vendor, its directories and its port."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lab.errors import NeedsError

SOURCE = Path(__file__).resolve().parent
ADDRESS = "127.0.0.1"
HOST = "lab-l0"
PORTS_APART = 10
"""Between two labs of one suite."""


@dataclass(frozen=True)
class Suite:
    """A kind of lab: a release of Debian on an emulated CPU."""

    name: str
    release: str
    port: int
    vendor: Literal["amd", "intel"] = "amd"
    first_guests: tuple[str, ...] = ("passthrough", "host-model", "changed")
    """The guests that `lab up` starts."""
    slowness: int = 1
    """The factor for time limits: 1 for QEMU's emulation."""
    packages: tuple[str, ...] = ()
    """More of the release's packages than every host has."""

    @property
    def module(self) -> str:
        """The host's KVM module."""
        return f"kvm_{self.vendor}"

    @property
    def flag(self) -> str:
        """The CPU flag that a guest needs in order to nest."""
        return {"amd": "svm", "intel": "vmx"}[self.vendor]

    @property
    def disk(self) -> str:
        """The device name of the host's disks without the last letter."""
        return {"amd": "/dev/vd", "intel": "/dev/sd"}[self.vendor]


SUITES = {
    "bookworm": Suite("bookworm", "bookworm", 10022),
    "trixie": Suite("trixie", "trixie", 10023),
    "sid": Suite("sid", "sid", 10025),
    "incus": Suite("incus", "trixie", 10026, first_guests=(), packages=("incus", "ovmf", "qemu-system-modules-spice")),
    "intel": Suite("intel", "bookworm", 10024, "intel", first_guests=("passthrough",), slowness=8),
}


@dataclass(frozen=True)
class LabConfig:
    """One lab: two suites share nothing, two labs of one suite share their image; all may be up together."""

    suite: Suite
    directory: Path
    number: int = 1
    kernel: Literal["newest", "oldest"] = "newest"
    """Of those that the release's mirror has; the image holds both."""
    arguments: str = ""
    """More of the kernel's command line."""

    @property
    def is_standard(self) -> bool:
        """Whether the host boots as `lab up` boots it."""
        return self.kernel == "newest" and not self.arguments

    @property
    def port(self) -> int:
        """The port of the host's sshd on loopback."""
        return self.suite.port + PORTS_APART * (self.number - 1)

    @property
    def image(self) -> Path:
        """The directory of the built image; `lab down` keeps it."""
        return self.directory / "image"

    @property
    def own(self) -> Path:
        """The directory of the files that no other lab shares."""
        return self.directory if self.number == 1 else self.directory / str(self.number)

    @property
    def run(self) -> Path:
        """The directory of a running lab's files; `lab down` removes it."""
        return self.own / "run"

    @property
    def ssh_config(self) -> Path:
        """The client configuration, for ssh and for the audit's `--ssh-config`."""
        return self.own / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The host keys of the host and of every guest."""
        return self.own / "known_hosts"


def from_environment(number: int = 1) -> LabConfig:
    """Read LAB_SUITE and LAB_PORT; the lab's files are under `.lab/` at the top of the project.

    Args:
        number: 1, or that of another lab of the same suite.
    """
    name = os.environ.get("LAB_SUITE", "bookworm")
    if name not in SUITES:
        raise NeedsError(f"LAB_SUITE={name} is not one of {', '.join(SUITES)}")
    port = os.environ.get("LAB_PORT", str(SUITES[name].port))
    if not port.isdecimal():
        raise NeedsError(f"LAB_PORT={port} is not a port number")
    return LabConfig(replace(SUITES[name], port=int(port)), SOURCE.parent / ".lab" / name, number)
