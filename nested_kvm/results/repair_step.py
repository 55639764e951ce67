"""One change that a remediation script may make, as plain data."""

from dataclasses import dataclass
from enum import IntEnum


class Phase(IntEnum):
    """The safe order: a module is reloaded once every file is right, and domains are changed last."""

    FILES = 1
    MODULE = 2
    DOMAINS = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One change as a shell command, which exits with a status other than 0 where it fails."""

    phase: Phase
    command: str
