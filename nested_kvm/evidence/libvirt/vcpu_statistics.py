"""libvirt's counters of nested guests, read twice: only a change shows that one runs.

Domain: 'ci-1'
  vcpu.current=1
  vcpu.0.nested_run.sum=8264
  vcpu.0.guest_mode.cur=no
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

KEPT: Final = re.compile(r"vcpu\.(current|\d+\.(nested_run\.sum|guest_mode\.cur))")
PAUSE: Final = 0.5
"""Seconds between the two readings."""

Statistics = Mapping[str, str]


def read_twice(read: Callable[[], Mapping[str, Statistics]]) -> dict[str, tuple[Statistics, ...]]:
    """Read the counters of all domains, and again where one of them ever ran a nested guest; by domain."""
    first = read()
    second: Mapping[str, Statistics] = {}
    if any(map(_has_run, first.values())):
        time.sleep(PAUSE)
        second = read()
    return {name: (each, *([second[name]] if name in second else [])) for name, each in first.items()}


def statistics_of_rpc(answer: Mapping[str, Any]) -> Statistics:
    """Keep of a domain's statistics what is evaluated, in virsh's words."""
    return {key: _word(value) for key, value in answer.items() if KEPT.fullmatch(key)}


def statistics_of_virsh(text: str) -> dict[str, Statistics]:
    """Parse the output of `virsh domstats`; by the domain's name."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.split("\n"):
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
