"""Findings grouped for people: one chapter for each control and cause, the most severe first."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.results.run import Result, TargetResult


@dataclass(frozen=True, slots=True)
class Chapter:
    """All findings of one control with one cause."""

    control: str
    title: str
    severity: Severity
    cause: Cause | None
    findings: tuple[Result, ...]


def chapters(findings: Iterable[Result]) -> list[Chapter]:
    """Group findings; chapters of equal severity are sorted by their number of findings."""
    together: dict[tuple[str, Cause | None], list[Result]] = {}
    for finding in findings:
        together.setdefault((finding.control, finding.cause), []).append(finding)
    made = [
        Chapter(control, found[0].title, found[0].severity, cause, tuple(found))
        for (control, cause), found in together.items()
    ]
    return sorted(made, key=lambda chapter: (-chapter.severity, -len(chapter.findings), chapter.control))


def anchor(result: Result) -> str:
    """Return the anchor of a finding in the page: the same in each run, so that links stay valid."""
    return "f" + _digest(repr((result.control, result.target, result.subject)))


def place_anchor(target: TargetResult) -> str:
    """Return the anchor of a target's section: the same in each run."""
    return anchor_of_target(target.name)


def anchor_of_target(name: str) -> str:
    """Return the same for its name."""
    return "t" + _digest(name)


def _digest(place: str) -> str:
    return hashlib.blake2s(place.encode(errors="surrogatepass"), digest_size=6).hexdigest()
