from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, started_browser
from tests.support.large_fleet import write_fleet
from tests.support.suite import SuiteRun, run_suite

HOSTS = 60


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    """The second run over a fleet in which something of every kind is wrong."""
    folder = tmp_path_factory.mktemp("fleet")
    write_fleet(folder / "evidence", HOSTS)
    arguments = f"--evidence={folder / 'evidence'}"
    run_suite(arguments, report_dir=folder / "reports")
    return run_suite(arguments, report_dir=folder / "reports")


@pytest.fixture(scope="session")
def report(fleet: SuiteRun) -> Path:
    return fleet.reports / "report.html"
