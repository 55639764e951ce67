"""A site's own checks are ordinary pytest tests; what is wrong with one is shown with file and line."""

from pathlib import Path

import pytest

from tests.support.recorded import record
from tests.support.suite import SuiteRun, run_suite
from tests.support.suite_copy import suite_with

CONFTEST = """\
import pytest

@pytest.fixture(autouse=True)
def every_check(subject):
    subject.machine.bundle.readings
    if subject.name == "kvm-b":
        pytest.fail("the autouse fixture ran")

@pytest.fixture
def cpu():
    return "the site's cpu"

def pytest_runtest_setup(item):
    item.user_properties.append(("site", "hook"))
    print("the site's hook ran")
"""
CHECK = """\
def test_own(cpu, capsys):
    '''The site's fixture overrides the fact.'''
    assert cpu == "the site's cpu"
"""


def run_with(folder: Path, check: str, *words: str, conftest: str = "") -> SuiteRun:
    root = suite_with(folder, check)
    if conftest:
        (root / "checks" / "site" / "conftest.py").write_text(conftest)
    for name in ("kvm-a", "kvm-b"):
        record(folder / "evidence", name)
    return run_suite(f"--evidence={folder}/evidence", *words, report_dir=folder / "reports", root=root)


def test_a_sites_fixtures_and_hooks_run_for_its_own_checks(tmp_path: Path) -> None:
    run = run_with(tmp_path, CHECK, "-s", conftest=CONFTEST)
    assert run.outcomes("kvm-a")["SITE-test_own"] == "pass"
    assert run.outcomes("kvm-b")["SITE-test_own"] == "fail"
    assert run.outcomes("kvm-b")["L0-CPU-01"] == "pass"
    assert "the autouse fixture ran" in run.messages("kvm-b")
    assert "the site's hook ran" in run.output


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("import os\nimport no_such_module\n", "checks/site/test_own.py:2: ModuleNotFoundError: "),
        ("def broken(:\n", "checks/site/test_own.py:1: SyntaxError: "),
        ("\n\nundefined\n", "checks/site/test_own.py:3: NameError: "),
    ],
)
def test_a_check_that_cannot_be_imported_is_named_with_line_and_error(tmp_path: Path, check: str, said: str) -> None:
    run = run_with(tmp_path, check)
    assert run.status == 2
    assert [line for line in run.output.splitlines() if line.startswith(said)]
    assert said in run.html
    assert not run.document["run"]["complete"]


def test_a_check_that_breaks_shows_its_traceback(tmp_path: Path) -> None:
    check = "def divided(x):\n    return 1 / x\n\ndef test_own(target):\n    '''It divides.'''\n    divided(0)\n"
    run = run_with(tmp_path, check)
    assert run.outcomes("kvm-a")["SITE-test_own"] == "error"
    said = "check error in checks/site/test_own.py:2: ZeroDivisionError: division by zero"
    assert said in run.messages("kvm-a")
    assert "    return 1 / x" in run.output
    assert "test_own.py:6: " in run.output
