"""The findings as people act on them: one chapter for each control and cause, the severest first."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.results.run import Result


@dataclass(frozen=True, slots=True)
class Chapter:
    """What violates one requirement for one cause, wherever it was seen."""

    control: str
    title: str
    severity: Severity
    cause: Cause | None
    findings: tuple[Result, ...]


def chapters(findings: Iterable[Result]) -> list[Chapter]:
    """Bring findings together; those of a severity by how often they were seen."""
    together: dict[tuple[str, Cause | None], list[Result]] = {}
    for finding in findings:
        together.setdefault((finding.control, finding.cause), []).append(finding)
    made = [
        Chapter(control, found[0].title, found[0].severity, cause, tuple(found))
        for (control, cause), found in together.items()
    ]
    return sorted(made, key=lambda chapter: (-chapter.severity, -len(chapter.findings), chapter.control))


def anchor(result: Result) -> str:
    """Where in the page a finding stands: the same in each run, so that a link may be passed on."""
    place = repr((result.control, result.target, result.subject))
    return "f" + hashlib.blake2s(place.encode(errors="surrogatepass"), digest_size=6).hexdigest()
