"""Whatever a target, an inventory or a file brings into the report, no script of it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nested_kvm.evidence.bundle import Bundle, Failure
from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy, Undeclared
from tests.support.browser import Browser
from tests.support.scenario import DomainCase, Inside, scenarios
from tests.support.scenario_fleet import URI, bundle
from tests.support.suite import SuiteRun, run_suite

pytestmark = pytest.mark.needs("chromium")

MARKUP = (
    "<img src=x onerror=globalThis.ran=1>",
    "</script><script>globalThis.ran=1</script>",
    "'\"><svg onload=globalThis.ran=1>",
    '" autofocus onfocus=globalThis.ran=1 x="',
    "</pre></details></main><script>globalThis.ran=1</script>",
    "{{ 7 * 7 }}{% raw %}",
    "-->]]><iframe srcdoc='<script>parent.ran=1</script>'>",
    "javascript:globalThis.ran=1",
    "right-to-left \u202egnp.exe \u2066x",
    "x" * 250,
)
DEFINITION = "<cpu mode='host-model'/>"
BLIND = {"/proc/cpuinfo": "processor: 0\nvendor_id: AuthenticAMD\nflags: fpu lm hypervisor"}
RAW = f"{MARKUP[0]}{MARKUP[1]}<svg onload='globalThis.ran=1'></svg><a href='javascript:globalThis.ran=1' id=lure>x</a>"


def target(name: str, level: TargetLevel = TargetLevel.L0) -> Target:
    address = Address.parse("ssh://root@192.0.2.1")
    return Target(name, level, address, Policy(undeclared=Undeclared.REQUIRED), libvirt=URI)


def bundles() -> Iterator[Bundle]:
    """Each text as the name of a host, a guest, a domain, and as what was read of them."""
    for number, text in enumerate(MARKUP):
        host, guest = f"h{text}", f"g{text}"
        inside = Inside(base="amd-l1", readings=BLIND)
        domain = DomainCase(declared={}, inactive=DEFINITION, live=DEFINITION, expect=["pass"] * 3, inside=inside)
        named = {guest: domain, text: domain.model_copy(update={"declared": None})}
        path = f"/etc/modprobe.d/{number}{text.replace('/', '')}.conf"
        given = f"nested={text.replace(' ', '_')}"
        files = {path: f"options kvm_amd {given}\nblacklist {text}\n# {text}"}
        changes = {"domains": named, "policy": {}, "modprobe_d": files, "kmod_gives": given}
        seen = bundle(target(host), scenarios()["amd-passes"].model_copy(update=changes))
        yield replace(seen, readings={**seen.readings, "dmesg": Reading("dmesg", Status.FAILED, text, 1)})
        within = replace(target(guest, TargetLevel.L1), host=host, domain=guest, libvirt=None)
        yield Bundle(within, seen.observed_at, "0", inside.all_readings("2a845d3e-16b2-4ad8-a3b3-28c6c445cc8f"))
        unreachable = Failure("TargetUnreachable", f"refused: {text}")
        yield Bundle(target(f"u{text}"), datetime(2026, 1, 1, tzinfo=UTC), "0", failure=unreachable)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    folder = tmp_path_factory.mktemp("hostile")
    evidence = folder / MARKUP[0]
    evidence.mkdir()
    for found in bundles():
        write_bundle(evidence, found)
    broken = folder / "reports" / "2026-01-01T00-00-00Z" / "results.json"
    broken.parent.mkdir(parents=True)
    broken.write_text(json.dumps({"schema": MARKUP[0]}))
    return run_suite(f"--evidence={evidence}", report_dir=folder / "reports")


@pytest.fixture
def page(browser: Browser, hostile: SuiteRun) -> Browser:
    browser.prefer()
    browser.complaints()
    browser.open(hostile.reports / "report.html")
    return browser


def test_no_script_of_it_runs_and_none_has_to_be_stopped(page: Browser) -> None:
    page.driver.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    for link in page.all("#results-table tbody a")[:20]:
        page.driver.execute_script("arguments[0].click()", link)
    assert page.evaluate("globalThis.ran ?? 'nothing ran'") == "nothing ran"
    assert page.complaints() == []


def test_it_is_shown_as_it_is_written(page: Browser, hostile: SuiteRun) -> None:
    names = page.evaluate("[...document.querySelectorAll('.map tbody .name')].map(each => each.textContent)")
    written = [text for text in MARKUP if text.isprintable()]
    assert len(written) == len(MARKUP) - 1
    assert {f"{kind}{text}" for kind in "hgu" for text in written} <= set(names)
    assert set(written) <= set(names)
    findings = [each for each in hostile.document["results"] if each["outcome"] == "fail"]
    assert page.evaluate("document.querySelectorAll('.finding').length") == len(findings)
    evidence = page.evaluate("[...document.querySelectorAll('.evidence > *')].map(each => each.textContent)")
    assert f"virsh dumpxml --inactive g{MARKUP[0]}" in evidence
    assert f"options kvm_amd nested={MARKUP[0].replace(' ', '_')}" in evidence


def test_no_character_turns_the_direction(page: Browser) -> None:
    text = page.evaluate("document.documentElement.textContent")
    assert not [letter for letter in text if letter in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"]


def test_long_names_do_not_widen_the_page(page: Browser) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_the_page_brings_no_element_but_the_suites_and_pytest_htmls(page: Browser) -> None:
    assert page.all("main :is(img, script, iframe, object, embed, style)") == []
    attributes = page.evaluate("[...document.querySelectorAll('*')].flatMap(each => each.getAttributeNames())")
    assert "href" in attributes
    assert not [name for name in attributes if name.startswith("on")]


def test_the_search_takes_markup_for_words(page: Browser) -> None:
    page.one("#words").send_keys(MARKUP[1])
    page.until("document.getElementById('shown').textContent !== ''")
    assert page.soon(lambda: bool(page.shown(".finding")))
    assert page.evaluate("globalThis.ran ?? 'nothing ran'") == "nothing ran"


def test_markup_that_got_in_would_not_run_either(browser: Browser, hostile: SuiteRun, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(hostile.html.replace("</main>", f"{RAW}</main>"))
    browser.open(page)
    browser.driver.execute_script("document.getElementById('lure').click()")
    assert browser.evaluate("globalThis.ran ?? 'nothing ran'") == "nothing ran"
    refused: list[str] = []

    def each_part_is_refused() -> bool:
        refused.extend(browser.complaints())
        return len(refused) >= 3

    assert browser.soon(each_part_is_refused), refused
    assert browser.evaluate("document.documentElement.className") == "js", "the page's own script has to run"


def test_without_the_policy_it_would_have_run(browser: Browser, hostile: SuiteRun, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    text = hostile.html.replace("Content-Security-Policy", "nothing")
    page.write_text(text.replace("</main>", f"{RAW}</main>"))
    browser.open(page)
    assert browser.evaluate("globalThis.ran") == 1
    browser.complaints()
