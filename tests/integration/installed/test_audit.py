"""An audit by the installed wheel, by an ordinary user, in a folder that is empty."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.inventory.load import load_inventory
from tests.support.installed import ROOT, Installed
from tests.support.pages import commands
from tests.support.suite import run_suite

pytestmark = [pytest.mark.slow, pytest.mark.heavy]
FORMS = {
    "command": ("nested-kvm", "audit"),
    "module": ("python", "-m", "nested_kvm", "audit"),
    "pyargs": ("pytest", "--pyargs", "nested_kvm.checks"),
    "pytest": ("pytest",),
}


def audit(installed: Installed, folder: Path, form: str, *words: str) -> subprocess.CompletedProcess[str]:
    program, *rest = FORMS[form]
    return installed.run(folder, program, *rest, *words)


def results(folder: Path) -> dict[str, Any]:
    """What a run found, without what differs from run to run; a checkout has the version of its last `make setup`.

    The digests of evidence do: that of a target that could not be observed holds the time of the run.
    """
    document: dict[str, Any] = json.loads((folder / "reports" / "latest" / "results.json").read_text())
    for key in ("id", "started", "finished", "version"):
        document["run"].pop(key)
    for target in document["targets"]:
        target.pop("evidence")
    return document


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_results_of_a_checkout(installed: Installed, form: str, tmp_path: Path) -> None:
    folder = installed.folder(f"demo-{form}")
    answer = audit(installed, folder, form, *installed.demo)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    checkout = run_suite(*installed.demo, report_dir=tmp_path / "reports")
    assert checkout.status == 1
    assert results(folder) == results(tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_this_machine_is_audited_without_an_inventory(installed: Installed, form: str) -> None:
    folder = installed.folder(f"local-{form}")
    answer = audit(installed, folder, form, "--hosts=local://")
    assert answer.returncode in {0, 1}, answer.stdout + answer.stderr
    assert [target["name"] for target in results(folder)["targets"]] == ["localhost"]
    assert {path.name for path in (folder / "reports" / "latest").iterdir()} >= {"report.html", "junit.xml"}


def test_the_junit_report_is_that_of_a_checkout(installed: Installed, tmp_path: Path) -> None:
    """Its readers compare test cases from run to run: their names must not depend on where the wheel is."""
    folder = installed.folder("junit")
    audit(installed, folder, "command", *installed.demo, "--junitxml=own.xml")
    run_suite(*installed.demo, f"--junitxml={tmp_path}/own.xml", report_dir=tmp_path / "reports")

    def names(path: Path) -> list[str]:
        return [
            line.partition(" time=")[0] for line in path.read_text().replace("<testcase", "\n<testcase").split("\n")
        ]

    ours, theirs = names(folder / "own.xml"), names(tmp_path / "own.xml")
    assert [line for line in ours if line.startswith("<testcase")] == [x for x in theirs if x.startswith("<testcase")]
    assert len(ours) > 100


def test_a_sites_checks_in_the_current_folder_are_evaluated(installed: Installed) -> None:
    folder = installed.folder("site")
    assert installed.run(folder, "nested-kvm", "init").returncode == 0
    assert installed.run(folder, "nested-kvm", "audit", "--inventory=inventory.yaml").returncode in {0, 1}
    assert "SITE-EXAMPLE-01" in {each["control"] for each in results(folder)["results"]}
    listed = installed.run(folder, "nested-kvm", "controls").stdout
    assert {"L0-PER-01", "SITE-EXAMPLE-01"} <= {line.partition(" ")[0] for line in listed.splitlines()}


@pytest.mark.parametrize("around", ["pytest_plugins = ('nothing.here',)\n", "raise SystemExit('not asked for')\n"])
def test_another_suites_conftest_is_not_the_audits(installed: Installed, around: str) -> None:
    """One beside the site's checks is: its fixtures are theirs."""
    check = "def test_it(host, answer):\n    assert answer == 42\n"
    own = "import pytest\n\n\n@pytest.fixture\ndef answer():\n    return 42\n"
    files = {"conftest.py": around, "checks/site/test_own.py": check, "checks/site/conftest.py": own}
    folder = installed.folder(f"around-{len(around)}", files)
    answer = installed.run(folder, "nested-kvm", "audit", "--hosts=local://")
    found = [each for each in results(folder)["results"] if each["control"].startswith("SITE-")]
    assert [each["outcome"] for each in found] == ["pass"], answer.stdout + answer.stderr


def test_pytest_alone_audits_what_init_wrote(installed: Installed) -> None:
    folder = installed.folder("init-and-pytest")
    assert installed.run(folder, "nested-kvm", "init").returncode == 0
    assert installed.run(folder, "pytest", "--inventory=inventory.yaml").returncode in {0, 1}
    assert "SITE-EXAMPLE-01" in {each["control"] for each in results(folder)["results"]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-k", "L0-PER-01"], "PARTIAL"),
        (["-m", "critical"], "PARTIAL"),
        (["-x"], "stopping after 1 failures"),
        (["--lf"], "--lf is not supported"),
        (["-c", "/dev/null"], "-c and --rootdir are not supported"),
        (["--rootdir=/tmp"], "-c and --rootdir are not supported"),
        (["-p", "no:pytest11.testinfra"], "pytest-testinfra is not active"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_pytests_habits_work_or_are_refused_in_a_line(installed: Installed, words: list[str], says: str) -> None:
    folder = installed.folder(f"habit{''.join(words).replace('/', '_')}")
    answer = installed.run(folder, "nested-kvm", "audit", *installed.demo, *words)
    assert says in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr
    assert answer.returncode != 0


def test_options_from_the_environment_count(installed: Installed) -> None:
    folder = installed.folder("addopts")
    answer = installed.run(folder, "nested-kvm", "audit", *installed.demo, PYTEST_ADDOPTS="-k L0-PER-01")
    assert {each["control"] for each in results(folder)["results"]} == {"L0-PER-01"}
    assert "PARTIAL" in answer.stdout


def test_a_gate_does_not_pass_what_was_not_asked(installed: Installed) -> None:
    folder = installed.folder("gate")
    answer = installed.run(folder, "nested-kvm", "gate", "--hosts=local://", "-k", "no-such-control")
    assert answer.returncode != 0
    assert "COMPLIANT" not in answer.stdout.replace("NOT COMPLIANT", "")


def test_checks_are_run_where_assertions_are_compiled_away(installed: Installed) -> None:
    """pytest rewrites the assertions of a check: python -O does not see them."""
    check = "def test_it(host):\n    assert False, 'as it must'\n"
    folder = installed.folder("optimized", {"checks/site/test_own.py": check})
    answer = installed.run(folder, "python", "-O", "-m", "nested_kvm", "audit", "--hosts=local://")
    found = [each for each in results(folder)["results"] if each["control"].startswith("SITE-")]
    assert [each["outcome"] for each in found] == ["fail"], answer.stdout


def test_without_docstrings_pytest_refuses(installed: Installed) -> None:
    folder = installed.folder("no-docstrings")
    answer = installed.run(folder, "python", "-OO", "-m", "pytest", "--hosts=local://")
    assert (answer.returncode, "-OO" in answer.stderr) == (4, True), answer.stdout + answer.stderr


def test_a_folder_without_write_permission_is_named(installed: Installed) -> None:
    folder = installed.folder("read-only")
    if os.geteuid() == 0:
        os.chown(folder, 0, 0)
    folder.chmod(0o555)
    answer = installed.run(folder, "nested-kvm", "audit", "--hosts=local://")
    assert answer.returncode == 4
    assert "--report-dir" in answer.stderr
    assert installed.run(folder, "nested-kvm", "doctor").returncode in {0, 1, 6}


def test_without_a_home_it_works(installed: Installed) -> None:
    folder = installed.folder("homeless")
    command = ["env", "-u", "HOME", "nested-kvm", "audit", "--hosts=local://"]
    answer = installed.run(folder, "python", "-c", f"import os; os.execvp('env', {command})")
    assert answer.returncode in {0, 1}, answer.stderr


def test_another_plugin_with_an_option_of_the_audit_is_named(installed: Installed) -> None:
    plugin = "def pytest_addoption(parser):\n    parser.addoption('--inventory')\n"
    folder = installed.folder("twice", {"plugin.py": plugin})
    answer = installed.run(folder, "nested-kvm", "audit", "-p", "plugin", PYTHONPATH=str(folder))
    assert answer.returncode == 4
    assert "another plugin of pytest has an option of the audit" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_doctor_needs_nothing(installed: Installed) -> None:
    folder = installed.folder("doctor")
    answer = installed.run(folder, "nested-kvm", "doctor", "--json")
    assert json.loads(answer.stdout)["schema"] == "nested-kvm-compliance/doctor/1"
    assert list(folder.iterdir()) == []


def test_runs_are_merged(installed: Installed) -> None:
    folder = installed.folder("merge")
    for shard in ("1/2", "2/2"):
        installed.run(
            folder, "nested-kvm", "audit", *installed.demo[:2], f"--shard={shard}", f"--report-dir=r{shard[0]}"
        )
    answer = installed.run(folder, "nested-kvm", "merge", "r1/latest", "r2/latest")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    whole = {target.name for target in load_inventory(installed.home / "fleet" / "inventory.yaml")}
    assert {each["name"] for each in results(folder)["targets"]} == whole


def test_each_command_of_the_first_page_works_in_an_empty_folder(installed: Installed) -> None:
    """In its order, as a newcomer types them; the host of the example is not there."""
    folder = installed.folder("start")
    lines = [command for command in commands(ROOT / "docs" / "start.md") if command.program == "nested-kvm"]
    lines = [each for each in lines if each.words and not any("kvm-a" in word for word in each.words)]
    assert len(lines) >= 8
    for each in lines:
        answer = installed.run(folder, "nested-kvm", *each.words)
        evaluates = each.words[0] in {"doctor", "audit"}
        assert answer.returncode in ({0, 1, 6} if evaluates else {0}), f"{each}: {answer.stdout}{answer.stderr}"
        assert "Traceback" not in answer.stderr
    assert (folder / "reports" / "latest" / "report.html").is_file()
