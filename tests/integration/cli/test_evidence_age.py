"""Evidence has an age: a gate decides on today's, and nothing decides on tomorrow's or on a missing file."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.recorded import record
from tests.support.suite import SuiteRun, run_suite

HOUR = timedelta(hours=1)


def aged(folder: Path, age: timedelta, *words: str) -> SuiteRun:
    path = record(folder / "evidence", "kvm-a")
    document = json.loads(path.read_text())
    document["observed"] = (datetime.now(UTC) - age).isoformat()
    path.write_text(json.dumps(document))
    return run_suite(f"--evidence={folder}/evidence", *words, report_dir=folder / "reports")


@pytest.mark.parametrize(
    ("hours", "words", "status"),
    [
        (23, ["--gate"], 0),
        (25, ["--gate"], 1),
        (25, ["--nagios"], 3),
        (25, ["--gate", "--max-age=2d"], 0),
        (25, [], 0),
        (25, ["--max-age=24h"], 6),
        (-1, [], 6),
        (-1, ["--gate"], 1),
    ],
)
def test_evidence_decides_within_its_age(tmp_path: Path, hours: int, words: list[str], status: int) -> None:
    run = aged(tmp_path, hours * HOUR, *words)
    assert run.status == status
    error = run.target("kvm-a")["error"]
    if status == 0:
        assert error is None
    else:
        assert ("in the future" if hours < 0 else "older than --max-age allows") in error
        assert {each["outcome"] for each in run.document["results"]} <= {"error", "notapplicable"}


@pytest.mark.parametrize("text", ["1", "0h", "1w", "-1h", "1.5h", "h"])
def test_what_is_not_a_duration_is_refused(tmp_path: Path, text: str) -> None:
    run = aged(tmp_path, HOUR, f"--max-age={text}")
    assert run.status == 4
    assert f"--max-age={text} is not a duration: write it as 90m, 36h or 7d" in run.errors


def test_an_age_needs_evidence(tmp_path: Path) -> None:
    run = run_suite("--hosts=ssh://127.0.0.1:1", "--max-age=1h", report_dir=tmp_path / "reports")
    assert run.status == 4
    assert "--max-age goes with --evidence" in run.errors


def test_evidence_cannot_switch_its_own_evaluation_off(tmp_path: Path) -> None:
    path = record(tmp_path / "evidence", "kvm-a", refusal="Connection refused")
    document = json.loads(path.read_text())
    document["target"]["policy"]["binding"] = False
    path.write_text(json.dumps(document))
    run = run_suite(f"--evidence={tmp_path}/evidence", report_dir=tmp_path / "reports")
    assert run.outcomes("kvm-a")["L0-LIB-01"] == "fail"
    assert "informational" not in run.outcomes("kvm-a").values()


def test_a_source_that_is_given_twice_makes_evidence_unusable(tmp_path: Path) -> None:
    path = record(tmp_path / "evidence", "kvm-a")
    document = json.loads(path.read_text())
    document["readings"].append(document["readings"][0])
    path.write_text(json.dumps(document))
    run = run_suite(f"--evidence={tmp_path}/evidence", report_dir=tmp_path / "reports")
    assert run.status == 6
    assert " twice: " in run.target("kvm-a")["error"]


def test_a_file_that_is_missing_from_a_runs_evidence_is_noticed(tmp_path: Path) -> None:
    for name in ("kvm-a", "kvm-b"):
        record(tmp_path / "evidence", name)
    first = run_suite(f"--evidence={tmp_path}/evidence", report_dir=tmp_path / "first")
    assert first.status == 0
    (first.reports / "evidence" / "kvm-b.json").unlink()
    again = run_suite(f"--evidence={first.reports}/evidence", report_dir=tmp_path / "again")
    assert again.status == 6
    assert "kvm-b: its evidence file is missing from " in again.target("kvm-b")["error"]
    assert again.outcomes("kvm-a")["L0-KVM-04"] == "pass"
