"""What is run once more when a test of the project failed, and what fails the run."""

from __future__ import annotations

import os
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = """
from pathlib import Path

HERE = Path(__file__).parent

def noted(name):
    with (HERE / "calls").open("a") as calls:
        calls.write(name + "\\n")

def test_sound():
    noted("sound")

def test_only_alone():
    noted("only alone")
    assert (HERE / "calls").read_text().count("only alone") > 1

def test_broken():
    noted("broken")
    assert not (HERE / "spoiled").exists()
"""


@pytest.fixture(params=["tests", "tests/e2e/lab"])
def tests(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of tests beside the script, with this checkout's pytest and the options of the tests that it runs."""
    ini = ConfigParser()
    ini.read(ROOT / request.param / "pytest.ini")
    options = ini["pytest"]["addopts"]
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "tests-again.sh", tmp_path / "tools")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = {options} -p no:nested_kvm\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_some.py").write_text(TESTS)
    return tmp_path / "tests"


def run(tests: Path, *arguments: str) -> tuple[int, str, list[str]]:
    """Return the script's exit status, what it printed, and which tests were called."""
    script = tests.parent / "tools" / "tests-again.sh"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the plugins that none of these tests needs take long to start
    ended = subprocess.run(  # our own script
        [script, "tests", "-p", "xdist", "-n", "1", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    calls = tests / "calls"
    return ended.returncode, ended.stdout, calls.read_text().splitlines() if calls.exists() else []


def test_what_passes_only_alone_is_named_and_does_not_fail_the_run(tests: Path) -> None:
    status, printed, calls = run(tests)
    assert status == 0
    assert "Passed, but only with no other test beside them" in printed
    assert "FAILED tests/test_some.py::test_only_alone" in printed
    assert sorted(calls) == ["broken", "only alone", "only alone", "sound"]


def test_what_fails_again_fails_the_run(tests: Path) -> None:
    (tests / "spoiled").touch()
    status, printed, calls = run(tests)
    assert status == 1
    assert "Passed, but" not in printed
    assert calls.count("broken") == 2


def test_where_nothing_fails_nothing_is_run_again(tests: Path) -> None:
    status, printed, calls = run(tests, "-k", "sound")
    assert (status, calls) == (0, ["sound"])
    assert "Once more" not in printed


@pytest.mark.parametrize(
    ("arguments", "expected"), [(("-k", "nothing"), 5), (("--no-such-option",), 4)], ids=["none", "option"]
)
def test_another_exit_status_is_pytests_own(tests: Path, arguments: tuple[str, ...], expected: int) -> None:
    status, _, calls = run(tests, *arguments)
    assert (status, calls) == (expected, [])
