"""Names that try to be markup, commands for a terminal, or paths."""

import json
from pathlib import Path

import pytest

from nested_kvm.inventory.load import load_inventory
from tests.support.html_report import HtmlReport
from tests.support.libvirt_node import NAMED_MODEL, Definition, write_node
from tests.support.schema import assert_valid
from tests.support.suite import REPORTS, SuiteRun, run_suite

pytestmark = pytest.mark.needs("libvirt-python")

MARKUP = "<img src=x onerror=alert(1)>"
DOMAINS = (
    MARKUP,
    "'\"><svg onload=alert(2)>",
    "c1 \x9b31m red \x9d0;title\x9c",
    "delete \x7f\x7f\x7f",
    "right-to-left \u202etxt.exe",
    "two\nlines",
    "$(reboot); `reboot`",
    "long " + "x" * 245,
)
TARGETS = (
    MARKUP,
    "../../escaped",
    "..",
    ".hidden",
    "a/b\\c",
    "%2e%2e%2f",
    "C:nul",
    "ä" * 125,
    "b" * 250,
    "b" * 249 + "c",
    "</script><script>alert(3)</script>",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def inventory(folder: Path) -> Path:
    """A host with the domains, and the targets, which refuse every connection. JSON is YAML."""
    uri = write_node(folder / "node.xml", *(Definition(name, NAMED_MODEL) for name in DOMAINS))
    here = {"address": "local://", "level": "L0", "libvirt": uri, "undeclared": "required"}
    nowhere = {"address": "ssh://127.0.0.1:1"}
    path = folder / "fleet.yaml"
    path.write_text(json.dumps({"hosts": {"here": here, **dict.fromkeys(TARGETS, nowhere)}}))
    return path


@pytest.fixture(scope="module")
def run(folder: Path, inventory: Path) -> SuiteRun:
    """Everything that pytest can print of a result, printed."""
    return run_suite(f"--inventory={inventory}", "-v", "-rA", "--tb=long", report_dir=folder / "reports" / "here")


@pytest.fixture(scope="module")
def report(run: SuiteRun) -> HtmlReport:
    return HtmlReport(run.html)


def test_every_name_is_judged_under_its_own_name(run: SuiteRun) -> None:
    assert run.status == 1
    assert {each["subject"] for each in run.document["results"]} == {"here", *DOMAINS, *TARGETS}
    assert all(run.outcomes(name)["DOM-CPU-02"] == "fail" for name in DOMAINS)
    assert {run.outcomes(name)["L0-CPU-01"] for name in TARGETS} == {"error"}


def test_no_name_commands_the_terminal(run: SuiteRun) -> None:
    assert MARKUP in run.output
    hostile = {character for character in run.text if not character.isprintable()}
    assert hostile == {"\n"}


def test_no_name_begins_a_line_of_its_own(run: SuiteRun) -> None:
    assert not [line for line in run.output.splitlines() if line.startswith("lines")]


def test_no_name_is_markup_of_the_page(report: HtmlReport) -> None:
    assert MARKUP in report.text
    assert "</script><script>alert(3)</script>" in report.text
    assert not [attributes for _, attributes in report.page.tags if "onerror" in attributes]
    assert not [text for text in report.page.texts if text.startswith("alert(")]


def test_no_name_is_markup_of_the_table(report: HtmlReport) -> None:
    assert MARKUP in {text for row in report.rows for text in row.texts}
    assert report.tags_put_into_the_page() == {"td", "a"}


def test_the_table_is_of_the_findings(run: SuiteRun, report: HtmlReport) -> None:
    findings = [each for each in run.document["results"] if each["outcome"] == "fail"]
    assert len(report.rows) == len(findings) > len(DOMAINS)
    assert {row.log for row in report.rows} == {""}


def test_the_table_has_the_columns_that_an_operator_needs(report: HtmlReport) -> None:
    columns = [name for name in report.columns if name is not None]
    assert {"target", "subject", "level", "control", "severity", "cause"} <= set(columns)
    assert {len(row.cells) for row in report.rows} == {len(columns)}


def test_the_severest_findings_come_first(report: HtmlReport) -> None:
    columns = [name for name in report.columns if name is not None]
    assert report.initial_sort == "order"
    place, severity = columns.index("order"), columns.index("severity")
    ordered = [row.texts[severity] for row in sorted(report.rows, key=lambda row: row.texts[place])]
    assert ordered == sorted(ordered, key=["critical", "high", "medium", "low"].index)


def test_each_row_leads_to_its_finding(report: HtmlReport) -> None:
    anchors = {attributes.get("id") for tag, attributes in report.page.tags if tag == "details"}
    assert all(any(f'href="#{anchor}"' in cell for anchor in anchors for cell in row.cells) for row in report.rows)


def test_each_target_has_a_file_of_its_own_and_none_outside(run: SuiteRun, folder: Path, inventory: Path) -> None:
    evidence = run.reports / "evidence"
    files = [path for path in folder.rglob("*") if path.is_file() and "latest" not in path.parts]
    assert len([path for path in files if path.parent == evidence.resolve()]) == len(TARGETS) + 1
    assert {path.name for path in files if path.parent != evidence.resolve()} == {
        "node.xml",
        "fleet.yaml",
        "here.sh",
        "playbook.yaml",
        *REPORTS,
    }
    found = {json.loads(path.read_text())["target"]["name"] for path in evidence.iterdir()}
    assert found == {target.name for target in load_inventory(inventory)}


def test_no_evidence_file_hides(run: SuiteRun) -> None:
    assert not [path for path in (run.reports / "evidence").iterdir() if path.name.startswith(".")]


def test_every_file_of_such_a_run_is_valid(run: SuiteRun) -> None:
    assert_valid(run)
    assert len(list(run.junit.iter("testcase"))) == len(run.document["results"])
