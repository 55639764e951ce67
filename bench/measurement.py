"""What a contender took, and what that comes to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Self

from bench.sshd_log import Range, Visits
from bench.timed import Usage


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Seconds by the wall's clock and by the CPUs', and megabytes of the largest process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    logins: Range | None = None
    executions: Range | None = None
    hosts_cpu: float = 0.0
    """CPU seconds of sshd and all that ran on the hosts."""
    proxy_cpu: float = 0.0
    """CPU seconds of the proxy that makes the round trip."""
    first_verdict: float | None = None
    """Seconds from the start."""
    results: int | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, usage: Usage, visits: Visits, work: tuple[float, float], *, first_verdict: float | None = None) -> Self:
        """Put together what was measured, what the hosts saw, and what they and the proxy worked."""
        return cls(
            usage.seconds,
            usage.cpu_seconds,
            usage.peak_mb,
            visits.logins,
            visits.executions,
            *work,
            first_verdict=first_verdict,
        )

    def judged(self, outcomes: Sequence[str]) -> Self:
        """Add what came out."""
        return replace(self, results=len(outcomes), outcomes=dict(sorted(Counter(outcomes).items())))


@dataclass(frozen=True, slots=True)
class Figure:
    """All runs of one contender over so many hosts; each number is the median of theirs."""

    name: str
    hosts: int
    """0: it visits none."""
    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """From start to end."""
        return median(run.seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        """User and system."""
        return median(run.cpu_seconds for run in self.runs)

    @property
    def hosts_cpu_seconds(self) -> float:
        """User and system, on the hosts."""
        return median(run.hosts_cpu for run in self.runs)

    @property
    def proxy_cpu_seconds(self) -> float:
        """User and system, of the proxy."""
        return median(run.proxy_cpu for run in self.runs)

    @property
    def peak_mb(self) -> float:
        """Megabytes of the largest process."""
        return median(run.peak_mb for run in self.runs)

    @property
    def first_verdict(self) -> float | None:
        """Seconds until the first verdict, where it was noted."""
        seen = [run.first_verdict for run in self.runs if run.first_verdict is not None]
        return median(seen) if seen else None

    @property
    def seconds_per_host(self) -> float | None:
        """Seconds by the wall's clock, shared among the hosts."""
        return self.seconds / self.hosts if self.hosts else None

    def as_json(self) -> dict[str, Any]:
        """Return what is kept."""
        last = self.runs[-1]
        return {
            "name": self.name,
            "hosts": self.hosts,
            "seconds": self.seconds,
            "seconds_per_host": self.seconds_per_host,
            "cpu_seconds": self.cpu_seconds,
            "hosts_cpu_seconds": self.hosts_cpu_seconds,
            "proxy_cpu_seconds": self.proxy_cpu_seconds,
            "peak_mb": self.peak_mb,
            "first_verdict_seconds": self.first_verdict,
            "logins_per_host": _pair(last.logins),
            "executions_per_host": _pair(last.executions),
            "results": last.results,
            "outcomes": dict(last.outcomes),
            "runs": [[run.seconds, run.cpu_seconds, run.peak_mb] for run in self.runs],
        }


def _pair(found: Range | None) -> list[int] | None:
    return None if found is None else [found.least, found.most]
