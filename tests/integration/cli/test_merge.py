"""`--merge` makes one run's reports of several, which say what one run over the whole fleet says."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.html_report import HtmlReport
from tests.support.large_fleet import write_fleet
from tests.support.recorded import record
from tests.support.schema import problems
from tests.support.suite import REPORTS, SuiteRun, run_suite

HOSTS = 12
WHOLE = "whole"
OF_ANY_AGE = "--max-age=9999d"
"""The evidence was recorded long ago."""
_MOMENT = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(Z|\+00:00)"
    r'|"duration": [0-9.]+|time="[0-9.]+"|(?<=_seconds )[0-9.e+]+'
)
"""What differs between two runs that say the same."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet that was audited before, when one of its hosts was another, with waivers."""
    folder = tmp_path_factory.mktemp("merge")
    write_fleet(folder / "evidence", HOSTS)
    write_fleet(folder / "before", HOSTS - 2)
    record(folder / "before", "kvm-0009", refusal="Connection refused")
    record(folder / "before", "kvm-gone", refusal="Connection refused")
    signed = {"reason": "known", "approver": "ops"}
    entries: list[dict[str, object]] = [
        {"control": "L0-PER-01", "target": "kvm-0000", "expires": "2999-12-31"},
        {"control": "L0-PER-*", "target": "kvm-000?", "expires": "2020-12-31"},
        {"control": "DOM-CPU-02", "target": "kvm-zzzz", "permanent": True},
    ]
    (folder / "waivers.yaml").write_text(json.dumps({"waivers": [{**each, **signed} for each in entries]}))
    run_suite(f"--evidence={folder}/before", report_dir=folder / "reports" / "before")
    return folder


def audit(folder: Path, name: str, *words: str) -> SuiteRun:
    known = [f"--waivers={folder}/waivers.yaml", f"--baseline={folder}/reports/before/latest/results.json"]
    return run_suite(f"--evidence={folder}/evidence", *known, *words, report_dir=folder / "reports" / name)


def merge(name: str, *runs: SuiteRun, words: tuple[str, ...] = ()) -> SuiteRun:
    folder = runs[0].report_dir.parent
    return run_suite(*(f"--merge={run.reports}" for run in runs), *words, report_dir=folder / name)


@pytest.fixture(scope="module")
def whole(folder: Path) -> SuiteRun:
    return audit(folder, WHOLE)


@pytest.fixture(scope="module")
def shards(folder: Path) -> Mapping[int, list[SuiteRun]]:
    """The runs of each split, by the number of its shards."""
    return {
        of: [audit(folder, f"{number}-of-{of}", f"--shard={number}/{of}") for number in range(1, of + 1)]
        for of in (1, 2, 5)
    }


@pytest.fixture(scope="module", params=[1, 2, 5])
def merged(request: pytest.FixtureRequest, shards: Mapping[int, list[SuiteRun]]) -> SuiteRun:
    return merge(f"merged-{request.param}", *shards[request.param])


def test_it_is_the_unsharded_run(whole: SuiteRun, merged: SuiteRun) -> None:
    """But for the evidence, which stays with the shards: the merged run names their results instead."""
    parts = ("results", "diagnoses", "drift")
    assert {part: merged.document[part] for part in parts} == {part: whole.document[part] for part in parts}
    assert merged.document["targets"] == [{**each, "evidence": None} for each in whole.document["targets"]]
    assert {each["kind"] for each in merged.document["run"]["inputs"]} == {"results"}
    assert (merged.status, merged.document["run"]["exit_status"]) == (whole.status, whole.status)
    assert merged.document["run"]["complete"] is True
    assert merged.document["run"]["shard"] is None
    assert problems("results", merged.document) == []


def test_its_waivers_are_those_of_the_unsharded_run(whole: SuiteRun, merged: SuiteRun) -> None:
    assert merged.document["waivers"] == whole.document["waivers"]
    assert {use["state"] for use in merged.document["waivers"]} == {"used", "expired", "stale-matches-nothing"}


@pytest.mark.parametrize("name", ["sarif.json", "hdf.json", "junit.xml", "metrics.prom", "summary.md"])
def test_each_report_is_that_of_the_unsharded_run(whole: SuiteRun, merged: SuiteRun, name: str) -> None:
    texts = [sorted(_MOMENT.sub("", (run.reports / name).read_text()).splitlines()) for run in (whole, merged)]
    assert texts[0] == texts[1]


def test_it_leaves_every_report_and_no_evidence(merged: SuiteRun) -> None:
    assert {path.name for path in merged.reports.iterdir()} == REPORTS
    assert merged.reports.is_symlink()


def test_its_page_is_that_of_the_unsharded_run(whole: SuiteRun, merged: SuiteRun) -> None:
    """Its map, findings and chains, and a row for each finding that nobody answers for."""
    bodies = [run.html.partition('<h2 id="map">')[2].partition('<h2 id="table"')[0] for run in (whole, merged)]
    assert bodies[0] == bodies[1]
    assert "The chain of each guest" in bodies[0]
    pages = [HtmlReport(run.html) for run in (whole, merged)]
    assert "24 targets: nested required" in " ".join(pages[1].page.texts)
    rows = [sorted(row.texts for row in page.rows) for page in pages]
    assert rows[0] == rows[1]
    findings = [each for each in merged.document["results"] if each["outcome"] == "fail" and each["waiver"] is None]
    assert len(rows[1]) == len(findings) > 0


def test_the_terminal_says_what_it_says_of_one_run(whole: SuiteRun, merged: SuiteRun) -> None:
    def told(run: SuiteRun) -> list[str]:
        lines = run.output.partition("nested KVM compliance")[2].partition("report: ")[0].splitlines()
        return sorted(line for line in lines[1:])

    assert told(merged) == told(whole)
    assert "NOT COMPLIANT" in merged.output.splitlines()


def test_a_gate_speaks_of_every_target(shards: Mapping[int, list[SuiteRun]]) -> None:
    run = merge("gate", *shards[2], words=("--gate", OF_ANY_AGE))
    verdicts = dict(
        line.split("  ")[:2] for line in run.output.splitlines() if re.match(r"(kvm|ci)-\d{4}  [PBI]", line)
    )
    assert len(verdicts) == 2 * HOSTS
    assert set(verdicts.values()) == {"PASS", "BLOCK"}
    assert run.status == 1


def test_fail_on_is_this_command_lines(shards: Mapping[int, list[SuiteRun]], folder: Path) -> None:
    strict = merge("critical", *shards[2], words=("--fail-on=critical",))
    assert strict.status == audit(folder, "whole-critical", "--fail-on=critical").status
    drift = merge("drift", *shards[2], words=("--fail-on-drift",))
    assert drift.status == audit(folder, "whole-drift", "--fail-on-drift").status


def test_nagios_is_answered(shards: Mapping[int, list[SuiteRun]]) -> None:
    run = merge("nagios", *shards[2], words=("--nagios", OF_ANY_AGE))
    assert run.status == 2
    assert run.output.startswith("NESTED-KVM CRITICAL - ")
    assert f"targets={2 * HOSTS};;;0" in run.output.splitlines()[0]


def test_a_merged_run_can_be_merged_and_compared_with(shards: Mapping[int, list[SuiteRun]], folder: Path) -> None:
    record(folder / "lab", "lab-a")
    lab = run_suite(f"--evidence={folder}/lab", report_dir=folder / "reports" / "lab")
    mixed = merge("mixed", merge("two", *shards[2]), lab)
    assert mixed.status == 4
    assert "compared with no baseline" in mixed.errors
    again = run_suite(
        f"--evidence={folder}/evidence",
        f"--baseline={folder}/reports/two/latest/results.json",
        report_dir=folder / "reports" / "again",
    )
    assert again.document["drift"]["new"] + again.document["drift"]["persisting"] > 0


@pytest.fixture(scope="module")
def lacking(shards: Mapping[int, list[SuiteRun]]) -> SuiteRun:
    return merge("lacking", *shards[5][:3], *shards[5][4:], words=("--gate", OF_ANY_AGE))


def test_without_a_shard_every_report_says_incomplete(lacking: SuiteRun) -> None:
    missing = "INCOMPLETE: shard 4 of 5 is missing"
    assert lacking.status == 1
    assert lacking.document["run"]["complete"] is False
    assert f"NOT COMPLIANT; {missing}" in lacking.output.splitlines()
    assert [line for line in lacking.output.splitlines() if line.endswith("  INCOMPLETE")]
    assert not [line for line in lacking.output.splitlines() if line.endswith("  PASS")]
    for name in ("sarif.json", "hdf.json", "junit.xml", "summary.md", "report.html"):
        assert missing.replace("_", "&#95;") in (lacking.reports / name).read_text(), name
    assert "nested_kvm_run_complete 0.0" in (lacking.reports / "metrics.prom").read_text()


def test_without_a_shard_nothing_is_fixed_or_gone_there(lacking: SuiteRun, whole: SuiteRun) -> None:
    audited = {target["name"] for target in lacking.document["targets"]}
    there: dict[str, Any] = lacking.document["drift"]
    assert {each["target"] for each in (*there["fixed"], *there["gone"])} <= {*audited, "kvm-gone"}
    assert {each["target"] for each in there["unjudged"]} - audited
    assert there["vanished"] == whole.document["drift"]["vanished"]


def test_a_compliant_fleet_without_a_shard_is_not_compliant(folder: Path) -> None:
    for name in "abc":
        record(folder / "good", f"kvm-{name}")
    words = [f"--evidence={folder}/good"]
    runs = [
        run_suite(*words, f"--shard={number}/3", report_dir=folder / "reports" / f"good-{number}")
        for number in (1, 2, 3)
    ]
    assert [run.status for run in runs] == [0, 0, 0]
    assert merge("good", *runs).status == 0
    lacking = merge("good-lacking", *runs[1:])
    assert lacking.status == 2
    assert "INCOMPLETE: shard 1 of 3 is missing" in lacking.output.splitlines()
    assert merge("good-nagios", *runs[1:], words=("--nagios", OF_ANY_AGE)).status == 3
