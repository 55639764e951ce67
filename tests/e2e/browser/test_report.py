"""The report as its readers have it: in a browser, from disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_core_python.selenium import Axe
from selenium.webdriver.common.keys import Keys

from nested_kvm.reporting.html.opening import opening
from tests.e2e.browser.conftest import HOSTS
from tests.support.browser import Browser
from tests.support.made_runs import PASS, run_of, run_with_everything, scope
from tests.support.suite import SuiteRun

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def page(browser: Browser, report: Path) -> Browser:
    browser.prefer()
    browser.open(report)
    return browser


def test_it_opens_without_a_complaint(browser: Browser, report: Path) -> None:
    browser.complaints()
    browser.open(report)
    assert browser.complaints() == []
    assert browser.one("#verdict").text == "Not compliant"


def test_it_asks_nobody_else(page: Browser) -> None:
    assert page.evaluate("performance.getEntriesByType('resource').map(each => each.name)") == []


def test_it_stays_small(report: Path, fleet: SuiteRun) -> None:
    """At this rate 1,000 hosts with 25 results each stay below 8 MB."""
    assert report.stat().st_size < 150_000 + 300 * len(fleet.document["results"])


def test_the_map_has_a_row_for_each_machine_and_a_sign_for_each_result(page: Browser, fleet: SuiteRun) -> None:
    assert page.evaluate("document.querySelectorAll('.map tbody th').length") == 2 * HOSTS
    signs = {"p": "pass", "f": "fail", "e": "error", "u": "unknown", "n": "notapplicable"}
    for sign, outcome in signs.items():
        expected = sum(each["outcome"] == outcome for each in fleet.document["results"])
        assert page.evaluate(f"document.querySelectorAll('.map tbody td.{sign}').length") == expected > 0


def test_every_finding_is_there_with_evidence_and_commands(page: Browser, fleet: SuiteRun) -> None:
    findings = [each for each in fleet.document["results"] if each["outcome"] == "fail"]
    texts = page.evaluate("[...document.querySelectorAll('.finding')].map(each => each.textContent)")
    assert len(texts) == len(findings)
    for finding in findings:
        wanted = [finding["message"], *finding["remediation"], *(each["source"] for each in finding["evidence"])]
        assert any(all(text in shown for text in wanted) for shown in texts)


def test_the_trend_is_of_both_runs(page: Browser) -> None:
    assert page.evaluate("document.querySelectorAll('.trend svg g').length") == 2
    assert "over 2 runs of this inventory" in page.one(".trend figcaption").text


def test_the_severest_findings_come_first(page: Browser) -> None:
    order = page.evaluate("[...document.querySelectorAll('.chapter .pill')].map(each => each.textContent)")
    assert order == sorted(order, key=["critical", "high", "medium", "low"].index)
    assert len(set(order)) > 1


def test_a_sign_in_the_map_leads_to_its_finding_also_where_that_is_folded(page: Browser) -> None:
    folded = page.evaluate("document.querySelector('.chapter .more .finding').id")
    assert not page.one(f"#{folded} .evidence").is_displayed()
    page.driver.execute_script("document.querySelector(arguments[0]).click()", f".map a[href='#{folded}']")
    page.until(f"document.querySelector('#{folded} .evidence').checkVisibility()")


def test_an_address_with_a_findings_anchor_opens_it(browser: Browser, report: Path, page: Browser) -> None:
    folded = page.evaluate("document.querySelector('.chapter .more .finding').id")
    browser.open(report, anchor=f"#{folded}")
    assert browser.soon(browser.one(f"#{folded} .evidence").is_displayed)


def test_the_search_leaves_what_has_every_word(page: Browser) -> None:
    page.one("#words").send_keys("ci-0004 host-model")
    found = {"ci-0004"}
    assert page.soon(lambda: page.shown_texts(".finding > summary .name"), expected=found) == found
    assert page.soon(lambda: page.shown_texts(".guest > summary .name"), expected=found) == found
    assert page.one("#shown").text.endswith("findings")


def test_the_search_unfolds_what_it_finds(page: Browser) -> None:
    name = page.evaluate("document.querySelector('.chapter .more .finding .name').textContent")
    page.one("#words").send_keys(name)
    found = {name}
    assert page.soon(lambda: page.shown_texts(".chapter .more .finding .name"), expected=found) == found


def test_a_severity_can_be_left_out(page: Browser) -> None:
    page.press(page.one(".search [value=critical]"), Keys.SPACE)
    left = {"high", "medium"}
    assert page.soon(lambda: page.shown_texts(".chapter .pill"), expected=left) == left
    assert page.soon(lambda: page.shown_texts("#results-table td.col-severity"), expected=left) == left


def test_the_commands_can_be_copied(page: Browser) -> None:
    permissions = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.driver.execute_cdp_cmd("Browser.grantPermissions", permissions)
    button = page.shown(".finding .copy")[0]
    expected = page.driver.execute_script(
        "arguments[0].click(); return arguments[0].parentElement.querySelector('pre').textContent", button
    )
    page.until("document.querySelector('.finding .copy').textContent === 'Copied'")
    read = "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(String(error)))"
    assert page.driver.execute_async_script(read) == expected
    assert "virsh" in expected


def test_the_table_is_sorted_by_the_keyboard(page: Browser) -> None:
    button = page.one("#results-table th button[data-column-type=target]")
    page.press(button)
    page.until("document.querySelector('#results-table th[data-column-type=target]').ariaSort !== 'none'")
    names = [element.text for element in page.all("#results-table td.col-target")]
    assert names == sorted(names)
    assert len(names) > HOSTS / 2


def test_a_finding_is_opened_and_closed_by_the_keyboard(page: Browser) -> None:
    summary = page.shown(".finding > summary")[0]
    evidence = page.all(".finding .evidence")[0]
    before = evidence.is_displayed()
    page.press(summary)
    assert page.soon(evidence.is_displayed, expected=not before) is not before


def test_each_broken_chain_marks_one_link_and_says_so_in_words(page: Browser, fleet: SuiteRun) -> None:
    broken = {each["target"]: each["broken_link"] for each in fleet.document["diagnoses"] if each["broken_link"]}
    marked = page.evaluate(
        "[...document.querySelectorAll('.guest')].flatMap(guest =>"
        " [...guest.querySelectorAll('.chain .first')].map(link =>"
        " [guest.querySelector('.name').textContent, link.textContent]))"
    )
    assert broken
    assert dict(marked) == {name: f"{link.partition('-')[2]} is broken" for name, link in broken.items()}
    assert page.evaluate("document.querySelectorAll('.guest').length") == HOSTS
    links = page.evaluate("[...document.querySelectorAll('.chain')].map(each => each.querySelectorAll('li li').length)")
    assert set(links) == {11}


def test_without_scripts_everything_found_is_there(browser: Browser, report: Path, fleet: SuiteRun) -> None:
    browser.open(report, scripts=False)
    assert not browser.shown(".search, .copy, #results-table")
    text = browser.one("main").text
    causes = {each["cause"] for each in fleet.document["results"] if each["outcome"] == "fail"}
    assert causes
    assert all(cause in text for cause in causes)
    browser.press(browser.one(".chapter .more > summary"))
    assert browser.soon(browser.one(".chapter .more .finding").is_displayed)


def test_print_unfolds_everything(page: Browser) -> None:
    page.prefer(media="print")
    pieces = "[...document.querySelectorAll('.remedy pre')]"
    written = page.evaluate(f"{pieces}.map(each => each.textContent)")
    printed = page.evaluate(f"{pieces}.filter(each => each.checkVisibility()).map(each => each.textContent)")
    assert len(written) > HOSTS
    assert sorted(printed) == sorted(set(written)), "equal commands are printed once"
    hidden = "[...document.querySelectorAll('.finding .evidence')].filter(each => !each.checkVisibility()).length"
    assert page.evaluate(hidden) == 0
    assert not page.shown(".search, .copy, #results-table")


def test_a_narrow_window_does_not_scroll_sideways(page: Browser) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        assert page.evaluate("innerWidth") == 360
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture(scope="module")
def compared(fleet: SuiteRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with waivers and drift."""
    before, _, rest = fleet.html.partition("<main")
    page = tmp_path_factory.mktemp("compared") / "report.html"
    page.write_text(before + opening(run_with_everything(), scope(), None) + rest.partition("</main>")[2])
    return page


def test_new_findings_can_be_had_alone(browser: Browser, compared: Path) -> None:
    browser.open(compared)
    assert len(browser.shown(".chapter .finding")) == 2
    browser.press(browser.one(".search [name=new]"), Keys.SPACE)
    assert browser.soon(lambda: browser.one("#shown").text, expected="1 of 3 findings") == "1 of 3 findings"
    assert browser.shown_texts(".finding > summary .name") == {"kvm-a"}


def test_without_findings_there_is_no_table(browser: Browser, compared: Path, tmp_path: Path) -> None:
    before, _, rest = compared.read_text().partition("<main")
    page = tmp_path / "report.html"
    page.write_text(before + opening(run_of(PASS), scope(), None) + rest.partition("</main>")[2])
    browser.open(page)
    assert browser.one("#verdict").text == "Compliant"
    assert not browser.shown("#results-table, .search fieldset")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_waivers_and_drift(browser: Browser, compared: Path, scheme: str) -> None:
    assert serious_violations(browser, compared, scheme) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(browser: Browser, report: Path, scheme: str) -> None:
    assert serious_violations(browser, report, scheme) == []


MORE_OF_THE_SAME = (
    ".map tbody tr:nth-child(n+8), #results-table tbody:nth-of-type(n+8), .finding:nth-of-type(n+6), "
    ".guest:nth-of-type(n+8), .problem ~ .problem ~ .problem ~ .problem, .target ~ .target ~ .target ~ .target"
)
"""What repeats what comes before it, and costs axe minutes."""


def serious_violations(browser: Browser, page: Path, scheme: str) -> list[tuple[str, list[str]]]:
    """Each rule of axe that the page breaks, with some of the elements."""
    browser.prefer(scheme=scheme)
    browser.open(page)
    browser.driver.execute_script(f"for (const each of document.querySelectorAll('{MORE_OF_THE_SAME}')) each.remove()")
    browser.driver.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    violations = [each for each in Axe().run(browser.driver)["violations"] if each["impact"] in {"serious", "critical"}]
    return [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in violations]
