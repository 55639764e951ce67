"""What differs between the two emulators: how each is started and recognized."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM, Signals

from lab.config import LabConfig, Suite


@dataclass(frozen=True)
class Software:
    """One emulator, configured for one lab."""

    command: Sequence[str]
    mark: str
    """An argument that no other process has."""
    prepare: Callable[[LabConfig], None]
    """Writes the emulator's files into the run directory."""
    environment: dict[str, str] = field(default_factory=dict)
    end_signals: tuple[Signals, ...] = (SIGTERM, SIGKILL)


def command_line(suite: Suite) -> str:
    """Return the host's kernel command line, with which a panic ends the emulator at once."""
    return f"root={suite.disk}a console=ttyS0 net.ifnames=0 mitigations=off cryptomgr.notests quiet panic=-1 lab=host"
