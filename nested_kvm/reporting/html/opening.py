"""The head of report.html, from its templates, which escape everything that they are given."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.answer_text import answers_line, answers_of
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
from nested_kvm.reporting.html.chains import answers, in_order, rightly_unable, stages
from nested_kvm.reporting.html.findings import anchor, chapters, place_anchor
from nested_kvm.reporting.html.fleet_map import fleet_maps
from nested_kvm.reporting.html.fleet_picture import fleet_picture
from nested_kvm.reporting.html.printed import Printed
from nested_kvm.reporting.html.problem_list import problem_entries
from nested_kvm.reporting.html.result_rows import ResultRows
from nested_kvm.reporting.html.summary import ReportContext
from nested_kvm.reporting.html.table import ROWS
from nested_kvm.reporting.html.target_pages import TargetPages
from nested_kvm.reporting.html.target_sections import ResultLine, TargetSections
from nested_kvm.reporting.html.trend import trend
from nested_kvm.reporting.lines import waivers_ending
from nested_kvm.reporting.problem_text import problems_line
from nested_kvm.results.run import Run
from nested_kvm.util.text import printable, visible

_TEMPLATES: Final = Path(__file__).parent / "templates"
_FEW: Final = 20
"""Findings up to this number are shown open; more are a list to open one by one."""
_LISTED: Final = 12
_MAPPED: Final = 60
"""Items of a list, and rows of a map, that are drawn at once; a browser draws the rest when it is unfolded."""
_OPEN_TARGETS: Final = 4
"""Targets up to this number have their sections unfolded."""
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


def target_pages(run: Run, home: str) -> Iterator[tuple[str, Iterator[str]]]:
    """Return the name of each page of targets, and its text in pieces; none unless the fleet is large.

    `home` is the link from a page to the report.
    """
    template, rows = _environment().get_template("page.jinja2"), ResultRows(_result_row(), home)
    entry_ids = {each.id: entry.first.id for entry in problem_entries(run) for each in entry.problems}
    fixed = {"home": home, "rows_of_results": rows, "entry_ids": entry_ids, "few_targets": False, "style": _style()}
    for page, sections in TargetPages(run).with_sections():
        yield page.name, template.generate(fixed | {"page": page, "sections": sections})


def _style() -> Markup:
    return Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704 - our own


def _result_row() -> Callable[[ResultLine, str], Markup]:
    found: Callable[[ResultLine, str], Markup] = _environment().get_template("parts.jinja2").module.result_row  # type: ignore[attr-defined]  # a macro
    return found


def _context(run: Run, scope: ReportContext, reports: Path | None) -> dict[str, Any]:
    entries, pictures, rightly = problem_entries(run), fleet_picture(run), rightly_unable(run)
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
        "entries": entries,
        "entry_ids": {each.id: entry.first.id for entry in entries for each in entry.problems},
        "problems_line": problems_line(run),
        "printed": Printed(),
        "pictures": pictures,
        "picture_is_grouped": any(picture.hosts > 1 for picture in pictures),
        "answers_line": answers_line(answers_of(run)),
        "sections": TargetSections(run),
        "pages": TargetPages(run),
        "home": "",
        "rows_of_results": ResultRows(_result_row()),
        "few_targets": len(run.targets) <= _OPEN_TARGETS,
        "chapters": chapters(run.findings()),
        "unseen": [(outcome.value, *words, run.reasons(outcome)) for outcome, *words in _UNSEEN],
        "diagnoses": in_order(run.diagnoses, rightly),
        "answers": list(answers(run.diagnoses, rightly)),
        "rightly": rightly,
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
        "short": partial(printable, limit=200),
        "command": visible,
        "moment": summary.moment,
        "anchor": anchor,
        "place_anchor": place_anchor,
        "stages": stages,
    }
    environment.globals["parts"] = environment.get_template("parts.jinja2").module
    return environment
