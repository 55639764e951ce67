"""Where a lab keeps its things, and which port it answers on."""

import os
from dataclasses import dataclass
from pathlib import Path

from lab.errors import NeedsError

SOURCE = Path(__file__).resolve().parent
ADDRESS = "127.0.0.1"
HOST = "lab-l0"
PORTS = {"bookworm": 10022, "trixie": 10023}


@dataclass(frozen=True)
class Place:
    """One suite's directory; two suites share nothing and may be up together."""

    suite: str
    port: int
    directory: Path

    @property
    def image(self) -> Path:
        """What was built: kept by `lab down`."""
        return self.directory / "image"

    @property
    def run(self) -> Path:
        """What only a running lab has: removed by `lab down`."""
        return self.directory / "run"

    @property
    def ssh_config(self) -> Path:
        """For ssh and for the suite's `--ssh-config`."""
        return self.directory / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The real host keys of the host and of every guest."""
        return self.directory / "known_hosts"


def from_environment() -> Place:
    """The lab that LAB_SUITE and LAB_PORT choose, under `.lab/` at the top of the project."""
    suite = os.environ.get("LAB_SUITE", "bookworm")
    if suite not in PORTS:
        raise NeedsError(f"LAB_SUITE={suite} is not one of {', '.join(PORTS)}")
    port = os.environ.get("LAB_PORT", str(PORTS[suite]))
    if not port.isdecimal():
        raise NeedsError(f"LAB_PORT={port} is not a port number")
    return Place(suite, int(port), SOURCE.parent / ".lab" / suite)
