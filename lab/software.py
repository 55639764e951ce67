"""What an emulator must be told, and how it is recognized: the two that there are differ in no more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM, Signals

from lab.config import LabConfig, Suite


@dataclass(frozen=True)
class Software:
    """One emulator, set up for one lab."""

    command: Sequence[str]
    mark: str
    """A word of the command that no other process has."""
    prepare: Callable[[LabConfig], None]
    """Put what it needs into the lab's run directory."""
    environment: dict[str, str] = field(default_factory=dict)
    end_signals: tuple[Signals, ...] = (SIGTERM, SIGKILL)


def command_line(suite: Suite) -> str:
    """The host's kernel command line; a panic ends the emulator at once."""
    return f"root={suite.disk}a console=ttyS0 net.ifnames=0 mitigations=off cryptomgr.notests quiet panic=-1 lab=host"
