"""The pages of a large fleet with what the baseline had, and this run has not: it may be of no target of this run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nested_kvm.reporting.html.target_pages import FOLDER
from nested_kvm.results.drift import PastFinding
from nested_kvm.results.run import Run

EACH: Final = 5000
"""Entries of a page."""


@dataclass(frozen=True, slots=True)
class PastPage:
    """One page: findings of the baseline, or names of its targets."""

    name: str
    title: str
    findings: Sequence[PastFinding] = ()
    names: Sequence[str] = ()

    @property
    def href(self) -> str:
        """The link to it from the report."""
        return f"{FOLDER}/{self.name}"


def past_pages(run: Run) -> Iterator[PastPage]:
    """Iterate over the pages; there are none without a baseline."""
    drift = run.drift
    if drift is None:
        return
    lists = (
        ("fixed", "Fixed", drift.fixed),
        ("gone", "No longer applicable", drift.gone),
        ("not-evaluated", "Not evaluated in this run", drift.unjudged),
    )
    for word, title, findings in lists:
        for number, start in enumerate(range(0, len(findings), EACH), 1):
            part = findings[start : start + EACH]
            yield PastPage(f"{word}-{number}.html", _titled(title, start, len(part), len(findings)), findings=part)
    for number, start in enumerate(range(0, len(drift.vanished), EACH), 1):
        names = drift.vanished[start : start + EACH]
        title = _titled("Targets that vanished", start, len(names), len(drift.vanished))
        yield PastPage(f"vanished-{number}.html", title, names=names)


def _titled(title: str, start: int, count: int, total: int) -> str:
    return f"{title}: {total:,}" if count == total else f"{title}: {start + 1:,} to {start + count:,} of {total:,}"
