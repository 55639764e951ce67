"""libvirt's counters of nested guests: looked at twice, for only their change tells."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

KEPT: Final = re.compile(r"vcpu\.(current|\d+\.(nested_run\.sum|guest_mode\.cur))")
PAUSE: Final = 0.5
"""Seconds between the two looks."""

Statistics = Mapping[str, str]


def two_looks(look: Callable[[], Mapping[str, Statistics]]) -> dict[str, tuple[Statistics, ...]]:
    """Look at all domains, and once more where one of them has ever run a nested guest; by domain."""
    first = look()
    second: Mapping[str, Statistics] = {}
    if any(map(_has_run, first.values())):
        time.sleep(PAUSE)
        second = look()
    return {name: (each, *([second[name]] if name in second else [])) for name, each in first.items()}


def statistics_of_rpc(answer: Mapping[str, Any]) -> Statistics:
    """Keep of a domain's statistics what is judged, in virsh's words."""
    return {key: _word(value) for key, value in answer.items() if KEPT.fullmatch(key)}


def statistics_of_virsh(text: str) -> dict[str, Statistics]:
    """Take `virsh domstats` apart; by the domain's name."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition("=")
        if line.startswith("Domain: '"):
            current = found.setdefault(line.removeprefix("Domain: '").removesuffix("'"), {})
        elif KEPT.fullmatch(key):
            current[key] = value
    return dict(found)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _has_run(statistics: Statistics) -> bool:
    return any(key.endswith("nested_run.sum") and value != "0" for key, value in statistics.items())
