"""The report of a large fleet in a browser: its index, and the pages of its targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from nested_kvm.reporting.html import target_pages, target_sections
from nested_kvm.reporting.html.findings import anchor
from nested_kvm.reporting.html.opening import opening, other_pages
from nested_kvm.results.run import Run
from tests.e2e.browser.test_report import serious_violations
from tests.support.browser import Browser
from tests.support.made_runs import scope
from tests.support.many_hosts import run_of_hosts
from tests.support.suite import SuiteRun

pytestmark = pytest.mark.needs("chromium")
HOSTS = 24
PAGES = ("report.html", "targets/0001.html")


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of_hosts(HOSTS)


@pytest.fixture(scope="module")
def folder(fleet: SuiteRun, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a report that is split, inside the page that pytest-html wrote."""
    place = tmp_path_factory.mktemp("large")
    (place / "targets").mkdir()
    before, _, rest = fleet.html.partition("<main")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target_sections, "MOST", 1)
        patch.setattr(target_pages, "EACH", 7)
        (place / "report.html").write_text(before + opening(run, scope(), None) + rest.partition("</main>")[2])
        for name, pieces in other_pages(run, "../report.html"):
            (place / "targets" / name).write_text("".join(pieces))
    return place


@pytest.mark.parametrize("name", PAGES)
def test_it_opens_without_a_complaint(browser: Browser, folder: Path, name: str) -> None:
    browser.complaints()
    browser.prefer()
    browser.open(folder / name)
    assert browser.complaints() == []
    assert browser.one("main").is_displayed()
    assert not browser.shown("#results-table")


def test_a_target_is_found_and_its_page_opened(browser: Browser, folder: Path) -> None:
    browser.open(folder / "report.html")
    browser.one("#words").send_keys("kvm-017")
    found = {"kvm-017", "ci-017"}
    assert browser.soon(lambda: browser.shown_texts(".targets .reason > a"), expected=found) == found
    browser.press(browser.shown(".targets .reason > a")[0])
    browser.until("location.pathname.includes('/targets/')")
    assert browser.soon(lambda: bool(browser.shown(".target[open] .results")))


def test_a_severity_can_be_left_out_of_the_index(browser: Browser, folder: Path) -> None:
    browser.open(folder / "report.html")
    browser.press(browser.one(".search [value=critical]"), " ")
    left = {"high"}
    assert browser.soon(lambda: browser.shown_texts("[data-severity] .pill"), expected=left) == left


def test_a_link_to_a_finding_unfolds_it_on_its_page(browser: Browser, folder: Path, run: Run) -> None:
    finding = run.findings()[0]
    browser.open(folder / "report.html")
    href = browser.evaluate(f"document.querySelector('.map a[href$=\"#{anchor(finding)}\"]').getAttribute('href')")
    page, _, place = href.partition("#")
    browser.open(folder / page, anchor=f"#{place}")
    assert browser.soon(browser.one(f"#{place} .evidence").is_displayed)


def test_without_scripts_every_page_can_be_reached(browser: Browser, folder: Path, run: Run) -> None:
    browser.open(folder / "report.html", scripts=False)
    assert not browser.shown(".search, .copy")
    assert len(browser.all(".targets .reason > a")) == 2 * HOSTS == len(run.targets)
    browser.open(folder / "targets" / "0001.html", scripts=False)
    assert browser.shown(".target > summary")


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("name", PAGES)
def test_no_window_scrolls_sideways(browser: Browser, folder: Path, name: str, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.open(folder / name)
        assert browser.evaluate("innerWidth") == width
        assert browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_serious_violation(browser: Browser, folder: Path, name: str, scheme: str) -> None:
    assert serious_violations(browser, folder / name, scheme) == []
