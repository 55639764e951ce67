"""The report of a large fleet: an index that hardly grows, and pages on which nothing is lost."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.html import past_pages, target_pages, target_sections
from nested_kvm.reporting.html.findings import anchor
from nested_kvm.reporting.html.large import LargeReport
from nested_kvm.reporting.html.opening import opening, other_pages
from nested_kvm.results.run import ResultList, Run
from tests.support.html_report import elements
from tests.support.made_runs import FAIL, PASS, TARGETS, WAIVER, run_of, run_with_everything, scope
from tests.support.many_hosts import diagnosis_of, run_of_hosts

INDEX = "report.html"
MARKUP = "<img src=x onerror=alert(1)>"
ROW = 300
"""Bytes that one more host with its guest may add to the index: their two lines in the list of all targets."""


@pytest.fixture(autouse=True)
def split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a few results be too many for one file."""
    monkeypatch.setattr(target_sections, "MOST", 1)
    monkeypatch.setattr(target_pages, "EACH", 7)


def files_of(run: Run) -> dict[str, str]:
    """All files of a report, by how the index names them."""
    pages = {f"targets/{name}": "".join(text) for name, text in other_pages(run, f"../{INDEX}")}
    return {INDEX: opening(run, scope(), None), **pages}


def identifiers(text: str) -> Counter[str]:
    return Counter(attributes["id"] or "" for _, attributes in elements(text).tags if "id" in attributes)


def links(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Each link of a file, as the file and the anchor that it leads to."""
    folder = name.rpartition("/")[0]
    for tag, attributes in elements(text).tags:
        if tag == "a":
            file, _, place = (attributes["href"] or "").partition("#")
            path = file.removeprefix("../") if file.startswith("../") else f"{folder}/{file}" if folder else file
            yield (path if file else name), place


def test_the_index_hardly_grows_with_the_fleet() -> None:
    few, many = (len(opening(run_of_hosts(count), scope(), None)) for count in (200, 600))
    assert many - few < 400 * ROW


def test_the_lists_of_the_index_do_not_grow_at_all() -> None:
    few, many = (opening(run_of_hosts(count), scope(), None) for count in (200, 600))
    before, after = (text.partition('<h2 id="targets">')[0] for text in (few, many))
    assert len(after) < 1.1 * len(before)


def test_no_finding_is_lost() -> None:
    run = run_of_hosts(30)
    files = files_of(run)
    index = files.pop(INDEX)
    places = sum((identifiers(text) for text in files.values()), Counter[str]())
    findings = run.with_outcome(Outcome.FAIL)
    assert len(findings) > 20
    assert [places[anchor(each)] for each in findings] == [1] * len(findings)
    assert all(f'href="{name}"' in index for name in files)


def test_a_domain_that_is_called_as_another_host_is_on_the_page_of_its_own() -> None:
    run = run_of_hosts(30)
    odd = replace(FAIL, control="DOM-CPU-02", target="kvm-001", subject="kvm-029")
    run.results = ResultList([*run.results.sorted_by_target(), odd])
    pages = target_pages.TargetPages(run)
    found = LargeReport(run, pages).spread_of_rows([("kvm-029", "kvm-001"), ("kvm-029", None)])
    assert [href.partition("#")[0].removeprefix("targets/") for _, href in found.named] == [
        pages.of_target["kvm-001"],
        pages.of_target["kvm-029"],
    ]


def test_a_row_for_a_few_hosts_says_how_many() -> None:
    text = opening(run_of_hosts(3), scope(), None)
    rows = re.findall(r'<tr><th scope="row">(?:<b class="name">([0-9,]+)</b> as )?<a', text.partition('id="map"')[2])
    run = LargeReport(run_of_hosts(3), target_pages.TargetPages(run_of_hosts(3)))
    assert [int(number or 1) for number in rows] == [row.where.count for each in run.maps() for row in each.rows]
    assert any(int(number or 1) > 1 for number in rows)


def test_each_finding_has_its_evidence_and_commands_and_each_target_its_passes_and_its_chain() -> None:
    run = run_of_hosts(30)
    files = files_of(run)
    files.pop(INDEX)
    text = " ".join("".join(elements(page).texts) for page in files.values())
    for number in range(30):
        assert f"on kvm-{number:03}" in text
        assert f"of ci-{number:03}" in "".join(files.values()), "the title of a link of its chain"
    for finding in run.with_outcome(Outcome.FAIL):
        assert finding.message in text
        assert all(line in text for line in finding.remediation)


def test_the_index_counts_what_the_pages_have() -> None:
    run = run_of_hosts(30)
    said = " ".join("".join(elements(opening(run, scope(), None)).texts).split())
    chapters = re.findall(r"(L0-KVM-04|L1-CPU-01) \S+ (\d+) findings", said)
    assert dict(chapters) == {"L0-KVM-04": "10", "L1-CPU-01": "10"}
    assert "Waived findings 5" in said
    assert "30 targets unclear L1-KVM-04" in said
    assert "30 guests cannot nest" in said
    assert all(name in said for name in (target.name for target in run.targets))


@pytest.mark.parametrize("run", [run_of_hosts(30), run_with_everything()], ids=["many", "everything"])
def test_every_link_leads_somewhere(run: Run) -> None:
    files = files_of(run)
    places: Mapping[str, Counter[str]] = {name: identifiers(text) for name, text in files.items()}
    assert all(set(counted.values()) <= {1} for counted in places.values()), "no id is there twice"
    found = [(name, link) for name, text in files.items() for link in links(name, text)]
    assert len(found) > 20
    lost = [
        (name, link) for name, link in found if link[0] not in places or (link[1] and link[1] not in places[link[0]])
    ]
    assert lost == []


def test_what_is_of_no_target_has_a_page_too() -> None:
    run = run_with_everything()
    strangers = [each for each in run.with_outcome(Outcome.FAIL) if each.target not in {"kvm-a", "ci-1"}]
    files = files_of(run)
    places = sum((identifiers(text) for name, text in files.items() if name != INDEX), Counter[str]())
    assert strangers
    assert all(places[anchor(each)] == 1 for each in strangers)


def test_what_the_baseline_had_is_on_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_pages, "EACH", 2)
    run = run_with_everything()
    assert run.drift is not None
    past = run.drift.fixed[0]
    run.drift = replace(run.drift, fixed=[replace(past, subject=f"kvm-{number}") for number in range(3)])
    files = files_of(run)
    for name, words in {"fixed-1": "kvm-1", "fixed-2": "kvm-2", "gone-1": "kvm-b", "vanished-1": "kvm-z"}.items():
        assert f'href="targets/{name}.html"' in files[INDEX]
        assert words in files[f"targets/{name}.html"]


def test_a_host_with_very_many_results_has_a_page_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_pages, "RESULTS", 10)
    run = run_of_hosts(4)
    many = [replace(PASS, control="DOM-CPU-01", target="kvm-001", subject=f"vm-{number}") for number in range(30)]
    run = replace(run_of(*run.results.sorted_by_target(), *many), targets=run.targets)
    pages = list(target_pages.TargetPages(run))
    assert ["kvm-001"] in [[target.name for target in page.targets] for page in pages]
    assert sum(len(page.targets) for page in pages) == 8


def test_no_text_of_a_target_is_markup_on_any_page() -> None:
    bad = replace(
        FAIL,
        target=MARKUP,
        subject=MARKUP,
        message=MARKUP,
        evidence=(Evidence(MARKUP, MARKUP),),
        remediation=(MARKUP,),
    )
    unknown = replace(PASS, target=MARKUP, subject=MARKUP, outcome=Outcome.UNKNOWN, message=MARKUP)
    run = run_of(bad, unknown, replace(bad, control="L0-X-01", waiver=WAIVER), status=1)
    run.targets = [replace(TARGETS[0], name=MARKUP), replace(TARGETS[1], name=f"g{MARKUP}", host=MARKUP, error=MARKUP)]
    run.diagnoses = [replace(diagnosis_of(f"g{MARKUP}", MARKUP), explanation=MARKUP, warnings=(MARKUP,))]
    files = files_of(run)
    assert len(files) > 1
    for text in files.values():
        page = elements(text)
        assert "img" not in {tag for tag, _ in page.tags}
        assert "".join(page.texts).count(MARKUP) > 5


def test_a_small_fleet_has_no_other_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_sections, "MOST", 100)
    assert list(files_of(run_of(PASS, FAIL, status=1))) == [INDEX]
