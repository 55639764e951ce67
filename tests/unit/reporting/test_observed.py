"""Each report states when the evidence was observed, which may be long before the run."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nested_kvm.reporting.html.opening import opening
from nested_kvm.reporting.report_files import report_files
from nested_kvm.reporting.terminal import write_summary
from nested_kvm.results.run import Run, Threshold
from tests.support.html_report import elements
from tests.support.made_runs import FAIL, run_of, scope

THEN = datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def run() -> Run:
    found = run_of(FAIL, status=1)
    found.targets = [replace(found.targets[0], observed_at=THEN), found.targets[1]]
    return found


def test_every_file_names_it(run: Run) -> None:
    reports = {name: "".join(text) for name, text in report_files(run)}
    unnamed = {name for name, text in reports.items() if not ("2023-01-02" in text or str(THEN.timestamp()) in text)}
    assert unnamed - {"metrics.prom"} == {"ocsf.json"}
    assert f'"time": {int(THEN.timestamp())}000,' in reports["ocsf.json"]
    metric = 'nested_kvm_target_observed_timestamp_seconds{target="kvm-a"} '
    (value,) = [line.removeprefix(metric) for line in reports["metrics.prom"].splitlines() if line.startswith(metric)]
    assert float(value) == THEN.timestamp()
    document: dict[str, Any] = json.loads(reports["results.json"])
    assert [each["observed_at"] for each in document["targets"]] == ["2023-01-02T03:04:05Z", None]


def test_so_do_the_page_and_the_terminal(run: Run) -> None:
    page = " ".join(" ".join(elements(opening(run, scope(), None)).texts).split())
    assert "evidence observed 2023-01-02 03:04 UTC" in page
    lines: list[str] = []
    write_summary(run, lambda line, **_markup: lines.append(line), threshold=Threshold(), report=None)
    assert "evidence observed 2023-01-02 03:04 UTC" in lines


def test_from_the_oldest_to_the_newest(run: Run) -> None:
    run.targets[1] = replace(run.targets[1], observed_at=datetime(2026, 3, 1, 12, tzinfo=UTC))
    page = " ".join(elements(opening(run, scope(), None)).texts)
    assert "evidence observed 2023-01-02 03:04 to 2026-03-01 12:00 UTC" in page
