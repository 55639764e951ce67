"""The head of report.html, from its templates, which escape everything that they are given."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nested_kvm.model.severity import Severity
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
from nested_kvm.reporting.html.large import LargeReport
from nested_kvm.reporting.html.links import Links
from nested_kvm.reporting.html.page import asset, own_policy
from nested_kvm.reporting.html.page_content import PageContent
from nested_kvm.reporting.html.past_pages import past_pages
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
_DRAWN: Final = 40
"""Hosts that the report of a large fleet draws."""
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
    head, pages = _head(run, scope, reports), TargetPages(run)
    if pages:
        return _environment().get_template("large.jinja2").generate(head | _large(run, pages, head))
    return _environment().get_template("opening.jinja2").generate(head | _small(run, head))


def other_pages(run: Run, home: str) -> Iterator[tuple[str, Iterator[str]]]:
    """Return the name of each page beside the report, and its text in pieces; none unless the fleet is large.

    `home` is the link from a page to the report.
    """
    pages = TargetPages(run)
    if not pages:
        return
    fixed = {"home": home, "style": _own("style.css"), "script": _own("script.js"), "policy": own_policy()}
    of_page, template = PageContent(run, pages.of_target), _environment().get_template("page.jinja2")
    fixed_of_pages = fixed | {
        "run": run,
        "pages": pages,
        "of_page": of_page,
        "rows_of_results": ResultRows(_result_row()),
        "shown_severities": _shown_severities(run),
        "chapters": run.count(Outcome.FAIL) > 0,
        "rightly": of_page.rightly,
        "few": False,
        "listed": _LISTED,
        "spread": None,
    }
    for page in pages:
        links, maps = {"links": pages.links(page), "printed": Printed()}, of_page.maps(page)
        sections = pages.sections.of(page.targets)
        yield page.name, template.generate(fixed_of_pages | links | {"page": page, "maps": maps, "sections": sections})
    for past in past_pages(run):
        yield past.name, _environment().get_template("past_page.jinja2").generate(fixed | {"page": past})


def _own(name: str) -> Markup:
    return Markup(asset(name))  # noqa: S704 - our own


def _result_row() -> Callable[[ResultLine, str], Markup]:
    found: Callable[[ResultLine, str], Markup] = _environment().get_template("parts.jinja2").module.result_row  # type: ignore[attr-defined]  # a macro
    return found


def _head(run: Run, scope: ReportContext, reports: Path | None) -> dict[str, Any]:
    """What the report of a fleet of any size shows first."""
    rightly = rightly_unable(run)
    return {
        "run": run,
        "scope": scope,
        "verdict": summary.verdict(run, scope),
        "score": summary.score(run),
        "severities": summary.severities(run),
        "shown_severities": _shown_severities(run),
        "outcomes": summary.outcomes(run),
        "inspected": summary.targets(run),
        "policies": summary.policies(scope),
        "when": summary.when(run),
        "exposure": _exposure(run),
        "trend": trend(run, reports),
        "entries": problem_entries(run),
        "problems_line": problems_line(run),
        "printed": Printed(),
        "pictures": fleet_picture(run),
        "answers_line": answers_line(answers_of(run)),
        "chapters": chapters(run.findings()),
        "answers": list(answers(run.diagnoses, rightly)),
        "rightly": rightly,
        "few": run.count(Outcome.FAIL) <= _FEW,
        "listed": _LISTED,
        "mapped": _MAPPED,
    }


def _small(run: Run, head: Mapping[str, Any]) -> dict[str, Any]:
    """What the report shows in full where it has all of it."""
    entries, pictures = head["entries"], head["pictures"]
    return {
        "links": Links(),
        "spread": None,
        "maps": fleet_maps(run),
        "entry_ids": {each.id: entry.first.id for entry in entries for each in entry.problems},
        "picture_is_grouped": any(picture.hosts > 1 for picture in pictures),
        "sections": TargetSections(run),
        "rows_of_results": ResultRows(_result_row()),
        "few_targets": len(run.targets) <= _OPEN_TARGETS,
        "unseen": [(outcome.value, *words, run.reasons(outcome)) for outcome, *words in _UNSEEN],
        "diagnoses": in_order(run.diagnoses, head["rightly"]),
        "rows": ROWS,
    }


def _large(run: Run, pages: TargetPages, head: Mapping[str, Any]) -> dict[str, Any]:
    """What the report counts where the pages of the targets have it."""
    large, rightly = LargeReport(run, pages), head["rightly"]
    left, undrawn = head["entries"][_MAPPED:], head["pictures"][_DRAWN:]
    exposed = exposed_hosts(run)
    return {
        "links": pages.links(),
        "spread": large.spread,
        "pages": pages,
        "maps": large.maps(),
        "exposed": large.spread(each.target for each in exposed),
        "other_problems": left and large.left_out(left),
        "other_hosts": undrawn and large.spread(name for each in undrawn for name in each.names),
        "drawn": _DRAWN,
        "unseen": [(outcome.value, *words, large.reasons(run.reasons(outcome))) for outcome, *words in _UNSEEN],
        "chains": large.chains(in_order(run.diagnoses, rightly), rightly),
        "lines": large.lines(),
        "waived": run.waived(),
        "accepted": run.accepted(),
        "past_pages": list(past_pages(run)),
    }


def _shown_severities(run: Run) -> list[Severity]:
    return sorted({finding.severity for finding in run.with_outcome(Outcome.FAIL)}, reverse=True)


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
