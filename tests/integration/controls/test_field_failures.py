"""Of every published failure the suite says what was wrong, or what it would take to tell."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.field_failure import FieldFailure, failures
from tests.support.scenario_fleet import ROOT, FleetRun, run_fleet

BEFORE_MAINTENANCE = {name: each for name, each in failures().items() if each.told_before_maintenance()}
UNDECIDED = {"unknown", "error"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FleetRun:
    return run_fleet(tmp_path_factory.mktemp("field"), cases=failures())


@pytest.fixture(scope="module")
def maintenance_run(tmp_path_factory: pytest.TempPathFactory) -> FleetRun:
    return run_fleet(tmp_path_factory.mktemp("maintenance"), "-m", "maintenance", cases=BEFORE_MAINTENANCE)


@pytest.mark.parametrize("name", [name for name, each in failures().items() if each.told()])
def test_the_suite_names_the_cause(run: FleetRun, name: str) -> None:
    told = failures()[name].told()
    said = run.outcomes(name)
    assert {key: said.get(key) for key in told} == told, run.output[-2000:]


@pytest.mark.parametrize("name", BEFORE_MAINTENANCE)
def test_the_suite_answers_before_a_migration(maintenance_run: FleetRun, name: str) -> None:
    told = failures()[name].told_before_maintenance()
    said = maintenance_run.outcomes(name)
    assert {key: said.get(key) for key in told} == told, maintenance_run.output[-2000:]


@pytest.mark.parametrize("name", [name for name, each in failures().items() if list(each.messages())])
def test_the_message_names_what_was_found(run: FleetRun, maintenance_run: FleetRun, name: str) -> None:
    results = {**maintenance_run.results.get(name, {}), **run.results[name]}
    for subject, control, text in failures()[name].messages():
        assert text in results[subject, control]["message"]


@pytest.mark.parametrize(
    ("name", "domain"), [(name, domain) for name, each in failures().items() for domain in each.diagnoses()]
)
def test_the_guest_is_diagnosed(run: FleetRun, name: str, domain: str) -> None:
    expected = failures()[name].diagnoses()[domain]
    said = run.diagnoses()[f"{name}.{domain}" if domain else name]
    found = (said["can_nest"], said["broken_link"], said["cause"])
    assert found == (expected.can_nest, expected.broken_link, expected.cause), said["explanation"]
    assert [text for text in expected.warns if not any(text in warning for warning in said["warnings"])] == []


def test_there_are_enough_of_them() -> None:
    assert len({each.thread for each in failures().values()}) >= 20


def test_what_cannot_be_decided_says_what_is_missing() -> None:
    undecided = {name: each for name, each in failures().items() if each.missing}
    assert len(undecided) >= 3
    for name, each in undecided.items():
        assert _outcomes(each) & UNDECIDED, name
        assert list(each.messages()), f"{name}: no message is held to name what is missing"


@pytest.mark.parametrize("name", failures())
def test_a_failure_cites_its_thread_and_tells_whose_readings_they_are(name: str) -> None:
    each = failures()[name]
    assert each.thread.startswith("https://github.com/")
    assert each.title.partition("#")[2].isdecimal()
    assert each.source.startswith("reconstructed from the thread: ")
    assert each.told() or each.told_before_maintenance() or each.diagnoses()


def test_the_page_is_fresh() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "tests.support.field_page"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    page = Path(ROOT / "docs" / "field-failures.md")
    assert page.read_text() == made.stdout, "run: python -m tests.support.field_page > docs/field-failures.md"


def _outcomes(failure: FieldFailure) -> set[str]:
    told = {**failure.told(), **failure.told_before_maintenance()}
    return {outcome.partition(" ")[0] for outcome in told.values()} | {
        each.can_nest for each in failure.diagnoses().values()
    }
