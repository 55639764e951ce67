"""The limits that the measured ratios have to keep."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.measurement import Figure
from bench.rounds import ANSIBLE, EMPTY, FLOOR, ONE_HOST, PLAIN, SUITE


@dataclass(frozen=True, slots=True)
class Ratio:
    """A number and its target."""

    name: str
    value: float
    target: float
    at_most: bool
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.value <= self.target if self.at_most else self.value >= self.target

    @property
    def wanted(self) -> str:
        """The target in words."""
        return f"at {'most' if self.at_most else 'least'} {self.target:g}{self.unit}"

    def as_json(self) -> dict[str, Any]:
        """Return what is kept."""
        side = "most" if self.at_most else "least"
        return {
            "name": self.name,
            "value": self.value,
            f"at_{side}": self.target,
            "unit": self.unit,
            "met": self.is_met,
        }


def ratios(figures: Sequence[Figure], hosts: int) -> list[Ratio]:
    """Compare the figures of one run."""
    return list(_ratios({(each.name, each.hosts): each for each in figures}, hosts))


def _ratios(by_key: dict[tuple[str, int], Figure], hosts: int) -> Iterator[Ratio]:
    suite = by_key[SUITE, hosts]
    lower = by_key[FLOOR, hosts].seconds + by_key[EMPTY, 0].seconds
    controllers = by_key[FLOOR, hosts].cpu_seconds + by_key[EMPTY, 0].cpu_seconds
    yield Ratio("suite / (floor + empty items)", suite.seconds / lower, 2.0, at_most=True)
    yield Ratio("… in CPU of the controller alone", suite.cpu_seconds / controllers, 2.0, at_most=True)
    yield Ratio("suite, memory of its largest process", suite.peak_mb, 500.0, at_most=True, unit=" MB")
    others = {name: each for (name, _), each in by_key.items()}
    for name, target in ((PLAIN["paramiko"], 40.0), (ANSIBLE, 2.5)):
        share = (others[name].seconds_per_host or 0.0) / (suite.seconds_per_host or 1.0)
        yield Ratio(f"{name} / suite, per host", share, target, at_most=False)
    first = others[ONE_HOST].first_verdict
    if first is not None:
        yield Ratio("one host, until the first verdict", first, 1.5, at_most=True, unit=" s")
