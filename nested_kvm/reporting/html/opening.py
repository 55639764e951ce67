"""The head of report.html, from its templates, which escape everything that they are given."""

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.exposure_text import (
    WAYS_OUT,
    advisory_age_line,
    exposed_hosts,
    exposed_line,
    exposure_headline,
    has_guarded,
    proof_lines,
    still_showing_line,
)
from nested_kvm.reporting.html import summary
from nested_kvm.reporting.html.chains import answers, in_order, stages
from nested_kvm.reporting.html.findings import anchor, chapters
from nested_kvm.reporting.html.fleet_map import fleet_maps
from nested_kvm.reporting.html.summary import ReportContext
from nested_kvm.reporting.html.table import ROWS
from nested_kvm.reporting.html.trend import trend
from nested_kvm.reporting.lines import waivers_ending
from nested_kvm.results.run import Run
from nested_kvm.util.text import printable, visible

_TEMPLATES: Final = Path(__file__).parent / "templates"
_FEW: Final = 20
"""Findings up to this number are shown open; more are a list to open one by one."""
_LISTED: Final = 12
_MAPPED: Final = 60
"""Items of a list, and rows of a map, that are drawn at once; a browser draws the rest when it is unfolded."""
_UNSEEN: Final = (
    (Outcome.ERROR, "Could not be inspected", "Not assessed: neither pass nor fail."),
    (Outcome.UNKNOWN, "Undetermined", "Checked; the evidence is inconclusive."),
    (Outcome.INFORMATIONAL, "Informational", "No policy applies."),
)


def opening(run: Run, scope: ReportContext, reports: Path | None) -> str:
    """Return everything that the run found, as HTML. `reports` is where earlier runs are."""
    return "".join(opening_pieces(run, scope, reports))


def opening_pieces(run: Run, scope: ReportContext, reports: Path | None) -> Iterator[str]:
    """Return the same in pieces: the page of a large fleet is never held in memory as a whole."""
    return _environment().get_template("opening.jinja2").generate(_context(run, scope, reports))


def _context(run: Run, scope: ReportContext, reports: Path | None) -> dict[str, Any]:
    return {
        "run": run,
        "scope": scope,
        "verdict": summary.verdict(run, scope),
        "score": summary.score(run),
        "severities": summary.severities(run),
        "shown_severities": sorted({finding.severity for finding in run.with_outcome(Outcome.FAIL)}, reverse=True),
        "outcomes": summary.outcomes(run),
        "inspected": summary.targets(run),
        "policies": summary.policies(scope),
        "when": summary.when(run),
        "exposure": _exposure(run),
        "trend": trend(run, reports),
        "maps": fleet_maps(run),
        "chapters": chapters(run.findings()),
        "unseen": [(outcome.value, *words, run.reasons(outcome)) for outcome, *words in _UNSEEN],
        "diagnoses": in_order(run.diagnoses),
        "answers": list(answers(run.diagnoses)),
        "few": run.count(Outcome.FAIL) <= _FEW,
        "rows": ROWS,
        "listed": _LISTED,
        "mapped": _MAPPED,
    }


def _exposure(run: Run) -> dict[str, Any]:
    notes = (still_showing_line(run), advisory_age_line(run), *waivers_ending(run))
    return {
        "headline": exposure_headline(run),
        "ways_out": WAYS_OUT,
        "lines": [exposed_line(host) for host in exposed_hosts(run)],
        "proofs": [list(proof_lines(host)) for host in run.exposures] if has_guarded(run) else [],
        "notes": [note for note in notes if note],
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "line": partial(printable, limit=1000),
        "command": visible,
        "moment": summary.moment,
        "anchor": anchor,
        "stages": stages,
    }
    environment.globals["parts"] = environment.get_template("parts.jinja2").module
    return environment
