"""Durations on the command line: `90m`, `36h`, `7d`."""

import re
from datetime import timedelta
from typing import Final

from nested_kvm.errors import UsageError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])")


def parse_duration(option: str, text: str) -> timedelta:
    """Parse a duration.

    Raises:
        UsageError: it is not one; the message names the option.
    """
    match = _DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise UsageError(f"{option}={text} is not a duration: write it as 90m, 36h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
