"""How serious a violation is."""

from enum import IntEnum


class Severity(IntEnum):
    """How serious a violation is; ordered."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return self.name.lower()
