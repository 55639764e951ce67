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


RETURNING = {
    "a plain check": "def test_own(target):\n    '''It holds.'''\n    return False\n",
    "a check with host": "def test_own(target, host):\n    '''It holds.'''\n    return target\n",
    "a coroutine": "async def test_own(target):\n    '''It holds.'''\n    assert False\n",
}


@pytest.mark.parametrize("name", ["a plain check", "a coroutine"])
def test_a_check_that_returns_something_is_an_error(tmp_path: Path, name: str) -> None:
    run = run_with(tmp_path, RETURNING[name])
    assert run.outcomes("kvm-a")["SITE-test_own"] == "error"
    assert run.status != 0


def test_a_control_that_returns_something_is_an_error(tmp_path: Path) -> None:
    lines = [
        "from nested_kvm import Severity, control",
        "@control('SITE-OWN-01', severity=Severity.LOW, architectures=None)",
        "def test_own(target):",
        "    '''It holds.\n\n    For a reason.\n    '''",
        "    return False",
    ]
    run = run_with(tmp_path, "\n".join(lines))
    assert run.outcomes("kvm-a")["SITE-OWN-01"] == "error"


def test_the_warnings_of_a_check_are_counted_or_are_errors(tmp_path: Path) -> None:
    check = "import warnings\n\ndef test_own(target):\n    '''It holds.'''\n    warnings.warn('it is old')\n"
    assert ", 2 warnings in " in run_with(tmp_path / "as-it-is", check).output
    assert run_with(tmp_path / "as-errors", check, "-W", "error").outcomes("kvm-a")["SITE-test_own"] == "error"


def test_a_check_that_compares_shows_both_sides(tmp_path: Path) -> None:
    check = "def test_own(target):\n    '''It holds.'''\n    assert [target.name] == ['kvm-a', 'kvm-b']\n"
    assert "Right contains one more item: 'kvm-b'" in "".join(run_with(tmp_path, check).messages("kvm-a"))


def test_a_test_case_is_refused(tmp_path: Path) -> None:
    check = "import unittest\n\nclass TestOwn(unittest.TestCase):\n    def test_own(self):\n        self.fail('no')\n"
    run = run_with(tmp_path, check)
    assert run.status == 4
    assert "checks/site/test_own.py::TestOwn::test_own has no subject: a check is a function" in run.text
    assert "Traceback" not in run.text
    assert not (run.reports / "results.json").exists()


@pytest.mark.parametrize(
    "check",
    [
        "import pytest\npytest.importorskip('no_such_module')\n",
        "import pytest\npytest.skip('not today', allow_module_level=True)\n",
    ],
    ids=["importorskip", "skip"],
)
@pytest.mark.parametrize("words", [[], ["--gate"]], ids=["plain", "gate"])
def test_a_file_that_is_skipped_is_reported(tmp_path: Path, check: str, words: list[str]) -> None:
    run = run_with(tmp_path, check, *words)
    assert run.document["run"]["complete"] is False
    assert "checks/site/test_own.py was skipped: " in run.output
    assert not [line for line in run.output.splitlines() if line.startswith("COMPLIANT") or line.endswith("  PASS")]


def test_a_check_that_is_skipped_does_not_pass_a_gate(tmp_path: Path) -> None:
    check = "import pytest\n\ndef test_own(target):\n    '''It holds.'''\n    pytest.skip('not today')\n"
    run = run_with(tmp_path, check, "--gate")
    assert run.status != 0
    assert not [line for line in run.output.splitlines() if line.endswith("  PASS")]
    assert run.outcomes("kvm-a")["SITE-test_own"] == "notchecked"


LOOPING = """\
import pytest

@pytest.fixture
def looping(target):
    while target.name == "kvm-a":
        pass

def test_in_its_body(target):
    \'\'\'It ends.\'\'\'
    while target.name == "kvm-a":
        pass

def test_in_its_fixture(looping):
    \'\'\'It is set up.\'\'\'

def test_catches_it(target):
    \'\'\'It catches the limit.\'\'\'
    try:
        while target.name == "kvm-a":
            pass
    except Exception:
        return
"""
SHORT = """\
from nested_kvm.plugin.audit_session import audit_session
from nested_kvm.plugin.budget import EvaluationBudget

def pytest_collection_modifyitems(config):
    audit_session(config).budget = EvaluationBudget(0.5)
"""


def test_a_check_that_loops_costs_one_error(tmp_path: Path) -> None:
    run = run_with(tmp_path, LOOPING, "--gate", conftest=SHORT)
    names = {"SITE-test_in_its_body", "SITE-test_in_its_fixture", "SITE-test_catches_it"}
    of_a, of_b = run.outcomes("kvm-a"), run.outcomes("kvm-b")
    assert {name: of_a[name] for name in names} == dict.fromkeys(names, "error")
    assert {name: of_b[name] for name in names} == dict.fromkeys(names, "pass")
    assert {name for name, outcome in of_a.items() if outcome == "error"} == names
    assert run.status == 1
