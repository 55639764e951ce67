"""The demo: a fleet whose report shows every kind of finding."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.suite import ROOT

LIMIT = 120
OUTCOMES = {"pass", "fail", "error", "unknown", "notapplicable", "notchecked"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run `make demo`'s own command, with reports elsewhere."""
    reports = tmp_path_factory.mktemp("demo") / "reports"
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "--no-print-directory", "demo", f"ARGS=--report-dir={reports}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(rf"report: {re.escape(str(reports))}/\S+/report\.html", lines[-1]), "nothing follows the path"
    assert "Generated html report" not in done.stdout, "pytest-html prints the path as well"
    first = next(number for number, line in enumerate(lines) if " nested KVM compliance " in line)
    assert lines[first + 1] == lines[-2] == "NOT COMPLIANT", "the verdict is first and last"
    assert "26 findings: 14 problems, 1 of them waived" in lines
    return reports / "latest"


@pytest.fixture(scope="module")
def document(demo: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((demo / "results.json").read_text())
    return found


def test_it_is_a_fleet_of_a_dozen_hosts_and_their_guests(document: dict[str, Any]) -> None:
    hosts = {each["name"] for each in document["targets"] if each["host"] is None}
    assert len(hosts) >= 12
    assert len(document["targets"]) - len(hosts) >= 8
    unseen = {each["name"] for each in document["targets"] if each["error"]}
    assert unseen == {"kvm-07"}, "evidence is missing, or is of an older kind"


def test_it_shows_every_kind_of_outcome_waiver_and_drift(document: dict[str, Any]) -> None:
    assert {each["outcome"] for each in document["results"]} >= OUTCOMES
    assert {each["severity"] for each in document["results"] if each["outcome"] == "fail"} >= {"critical", "high"}
    assert {each["drift"] for each in document["results"]} >= {"new", "persisting"}
    assert {each["state"] for each in document["waivers"]} >= {"used", "expired", "stale-matches-nothing"}
    assert {each["can_nest"] for each in document["diagnoses"]} == {"yes", "no", "unknown"}
    assert document["run"]["exit_status"] == 1


@pytest.mark.parametrize(
    ("guest", "cause"),
    [("ci-1", None), ("ci-2", "host-model-drops-svm"), ("ci-3", "power-cycle-pending"), ("ci-8", "feature-disabled")],
)
def test_its_guests_are_told_why_they_cannot_nest(document: dict[str, Any], guest: str, cause: str | None) -> None:
    assert [each["cause"] for each in document["diagnoses"] if each["target"] == guest] == [cause]
