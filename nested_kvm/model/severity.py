"""How serious a violation is."""

from enum import IntEnum
from typing import Final


class Severity(IntEnum):
    """How serious a violation is; ordered."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return _WORDS[self]


_WORDS: Final = {each: each.name.lower() for each in Severity}
