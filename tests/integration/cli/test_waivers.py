"""A waiver takes a finding out of the count until its last day, and never an error."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.html_report import HtmlReport
from tests.support.recorded import SAVES_GUESTS, record
from tests.support.schema import assert_valid
from tests.support.suite import SuiteRun, run_many, run_suite

OVER = "2020-02-29"
AHEAD = "2999-12-31"

FILES: Mapping[str, list[dict[str, object]]] = {
    "the finding": [{"control": "L0-OPS-*", "target": "kvm-?", "expires": AHEAD}],
    "for ever": [{"control": "L0-OPS-01", "target": "kvm-a", "permanent": True}],
    "over": [{"control": "L0-OPS-01", "target": "kvm-a", "expires": OVER}],
    "over, and renewed": [
        {"control": "L0-OPS-01", "target": "kvm-a", "expires": OVER},
        {"control": "L0-OPS-01", "target": "kvm-a", "expires": AHEAD},
    ],
    "another subject": [{"control": "L0-OPS-01", "target": "kvm-a", "subject": "ci-1", "expires": AHEAD}],
    "what passes": [{"control": "L0-CPU-01", "target": "kvm-a", "expires": AHEAD}],
    "nothing": [{"control": "L0-CPU-01", "target": "kvm-z", "expires": AHEAD}],
    "everything": [{"control": "*", "target": "*", "permanent": True}],
    "a question of maintenance": [{"control": "DOM-OPS-01", "target": "kvm-a", "expires": AHEAD}],
    "none": [],
}
STATUS = {"the finding": 0, "for ever": 0, "over, and renewed": 0, "everything": 0}
STATES = {
    "the finding": ["used"],
    "for ever": ["used"],
    "over": ["expired"],
    "over, and renewed": ["expired", "used"],
    "another subject": ["stale-matches-nothing"],
    "what passes": ["stale-control-passes"],
    "nothing": ["stale-matches-nothing"],
    "everything": ["used"],
    "a question of maintenance": ["unjudged"],
    "none": [],
}

Runs = Mapping[str, SuiteRun]


def write(folder: Path, name: str, entries: list[dict[str, object]]) -> Path:
    """Write a waiver file. JSON is YAML."""
    path = folder / f"{name}.yaml"
    signed = [{"reason": "replaced in spring", "approver": "ops@example.net", **entry} for entry in entries]
    path.write_text(json.dumps({"waivers": signed}, indent=1))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("waivers")
    record(folder / "evidence", "kvm-a", readings=SAVES_GUESTS)
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> Runs:
    """Each file against a host with one finding; a folder of reports for each, as `latest` is the last."""
    lines = [
        [f"--evidence={folder}/evidence", f"--waivers={write(folder, name, entries)}", f"--report-dir={folder / name}"]
        for name, entries in FILES.items()
    ]
    ended = run_many(lines, report_dir=folder / "reports")
    return {
        name: SuiteRun(run.status, run.output, run.errors, folder / name)
        for name, run in zip(FILES, ended, strict=True)
    }


@pytest.mark.parametrize("name", FILES)
def test_only_a_waiver_that_holds_takes_the_finding_out_of_the_count(runs: Runs, name: str) -> None:
    run = runs[name]
    (finding,) = [each for each in run.document["results"] if each["outcome"] == "fail"]
    assert run.status == run.document["run"]["exit_status"] == STATUS.get(name, 1)
    assert (finding["waiver"] is not None) == (run.status == 0)
    assert [use["state"] for use in run.document["waivers"]] == STATES[name]
    assert_valid(run)


def test_a_waived_finding_says_who_answers_for_it(runs: Runs, folder: Path) -> None:
    (finding,) = [each for each in runs["the finding"].document["results"] if each["outcome"] == "fail"]
    assert finding["waiver"] == {
        "control": "L0-OPS-*",
        "target": "kvm-?",
        "subject": None,
        "reason": "replaced in spring",
        "approver": "ops@example.net",
        "expires": AHEAD,
        "source": f"{folder}/the finding.yaml:3",
        "cause": None,
        "accepts": None,
        "until": None,
    }
    lines = runs["the finding"].output.splitlines()
    assert f"kvm-a  L0-OPS-01  waived until {AHEAD} by ops@example.net: replaced in spring" in lines
    assert "COMPLIANT (1 finding waived)" in lines


def test_an_expired_waiver_is_named_by_the_finding_and_in_the_summary(runs: Runs, folder: Path) -> None:
    run = runs["over"]
    (finding,) = [each for each in run.document["results"] if each["outcome"] == "fail"]
    ended = f"its waiver expired on {OVER} ({folder}/over.yaml:3, approved by ops@example.net)"
    assert finding["message"].endswith(f"; {ended}")
    assert ended in run.output
    assert "NOT COMPLIANT" in run.output.splitlines()


STALE = {"nothing": "it matches nothing", "what passes": "what it covers passes"}


@pytest.mark.parametrize("name", STALE)
def test_a_stale_waiver_is_reported(runs: Runs, folder: Path, name: str) -> None:
    (line,) = [line for line in runs[name].output.splitlines() if "is stale" in line]
    assert line.startswith(f"{folder}/{name}.yaml:3: the waiver of L0-CPU-01 for kvm-")
    assert line.endswith(f"is stale: {STALE[name]}")


def test_pytest_calls_it_xfailed(runs: Runs) -> None:
    junit = runs["the finding"].junit
    (case,) = [case for case in junit.iter("testcase") if case.find("skipped[@type='pytest.xfail']") is not None]
    assert case.get("classname") == "kvm-a"
    assert {each.get("name"): each.get("value") for each in case.iter("property")}["outcome"] == "fail"
    assert next(junit.iter("testsuite")).get("failures") == "0"
    assert next(junit.iter("testsuite")).get("errors") == "0"


def test_the_report_names_who_answers_for_it_and_counts_it_no_more(runs: Runs) -> None:
    html = runs["the finding"].html
    assert HtmlReport(html).rows == []
    assert "ops@example.net" in html
    assert "replaced in spring" in html


@pytest.fixture(scope="module")
def unseen(folder: Path) -> SuiteRun:
    """Everything waived, of a host that cannot be reached."""
    inventory = folder / "fleet.yaml"
    inventory.write_text("hosts: {kvm-a: {address: 'ssh://127.0.0.1:1'}}\n")
    waivers = write(folder, "all", [{"control": "*", "target": "*", "permanent": True}])
    return run_suite(f"--inventory={inventory}", f"--waivers={waivers}", report_dir=folder / "unseen")


def test_a_waiver_never_hides_an_error(unseen: SuiteRun) -> None:
    assert unseen.status == 6
    assert "error" in {each["outcome"] for each in unseen.document["results"]}
    assert {each["waiver"] for each in unseen.document["results"]} == {None}
    assert [use["state"] for use in unseen.document["waivers"]] == ["unjudged"]


def test_what_was_not_asked_makes_no_waiver_stale(folder: Path) -> None:
    inventory = folder / "two.yaml"
    inventory.write_text("hosts: {kvm-a: {}, kvm-b: {}}\n")
    waivers = write(folder, "b", [{"control": "L0-OPS-01", "target": "kvm-b", "expires": AHEAD}])
    run = run_suite(
        f"--inventory={inventory}",
        "--hosts=kvm-a",
        f"--evidence={folder}/evidence",
        f"--waivers={waivers}",
        report_dir=folder / "narrow",
    )
    assert [use["state"] for use in run.document["waivers"]] == ["unjudged"]
    assert "is stale" not in run.output
