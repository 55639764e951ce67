"""A run that leaves anything out is not complete, says what, and passes in no gate."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nested_kvm.controls.catalogue import own_controls
from nested_kvm.plugin.process_exit import UNKNOWN
from tests.support.recorded import record
from tests.support.suite import ROOT, SuiteRun, command_line, environment, run_suite
from tests.support.suite_copy import suite_with

BAD = {"/sys/module/kvm_amd/parameters": "nested=0\nnpt=Y"}
"""A host on which nested is off: only controls that are left out would find it."""
NARROWING = {
    "a keyword": ["-k", "L0-CPU-01"],
    "a marker": ["-m", "low"],
    "a path": ["checks/l0/test_cpu.py"],
    "a node id": ["checks/l0/test_cpu.py::test_every_cpu_shows_the_flag"],
    "--deselect": ["--deselect=checks/l0/test_kvm.py", "--deselect=checks/l0/test_persistence.py"],
    "--ignore": ["--ignore=checks/l0/test_kvm.py", "--ignore=checks/l0/test_persistence.py"],
    "--ignore-glob": ["--ignore-glob=*/test_kvm.py", "--ignore-glob=*/test_persistence.py"],
    "other files": ["-o", "python_files=test_cpu.py"],
    "other functions": ["-o", "python_functions=test_every_cpu_shows_the_flag"],
}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("narrowed")
    record(folder, "kvm-bad", readings=BAD)
    return folder


def passes(run: SuiteRun) -> list[str]:
    words = ("COMPLIANT", "kvm-bad  PASS", "NESTED-KVM OK")
    return [line for line in run.output.splitlines() if line.startswith(words)]


@pytest.mark.parametrize("name", NARROWING)
def test_a_narrowed_gate_does_not_pass(evidence: Path, tmp_path: Path, name: str) -> None:
    run = run_suite(f"--evidence={evidence}", "--gate", *NARROWING[name], report_dir=tmp_path / "reports")
    assert run.status != 0
    assert passes(run) == []
    assert run.document["run"]["complete"] is False
    assert "L0-KVM-04" not in run.outcomes("kvm-bad")


@pytest.mark.parametrize("name", ["a keyword", "--ignore", "other functions"])
def test_narrowed_is_unknown_to_nagios(evidence: Path, tmp_path: Path, name: str) -> None:
    run = run_suite(f"--evidence={evidence}", "--nagios", *NARROWING[name], report_dir=tmp_path / "reports")
    assert run.status == UNKNOWN
    assert passes(run) == []


def test_narrowing_by_the_environment_counts_as_well(evidence: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        command_line(f"--evidence={evidence}", "--gate", report_dir=tmp_path / "reports"),
        cwd=ROOT,
        env={**environment(tmp_path), "PYTEST_ADDOPTS": "-k L0-CPU-01"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    run = SuiteRun(ended.returncode, ended.stdout, ended.stderr, tmp_path / "reports")
    assert run.status != 0
    assert passes(run) == []


def test_a_check_file_that_is_missing_is_missed(evidence: Path, tmp_path: Path) -> None:
    root = suite_with(tmp_path, "")
    (root / "checks" / "l0" / "test_kvm.py").unlink()
    run = run_suite(f"--evidence={evidence}", "--gate", report_dir=tmp_path / "reports", root=root)
    assert run.status != 0
    assert passes(run) == []


def test_what_ends_early_is_not_complete(tmp_path: Path) -> None:
    record(tmp_path / "evidence", "kvm-a", refusal="Connection refused")
    run = run_suite(f"--evidence={tmp_path}/evidence", "-x", report_dir=tmp_path / "reports")
    assert run.document["run"]["complete"] is False


@pytest.mark.parametrize("words", [[], ["-m", "maintenance"], ["--shard=1/1"]], ids=["all", "maintenance", "shard"])
def test_a_question_of_its_own_is_no_narrowing(tmp_path: Path, words: list[str]) -> None:
    record(tmp_path / "evidence", "kvm-a")
    run = run_suite(f"--evidence={tmp_path}/evidence", *words, report_dir=tmp_path / "reports")
    assert run.document["run"]["complete"] is True


def test_a_candidate_is_no_narrowing(tmp_path: Path) -> None:
    record(tmp_path / "evidence", "kvm-a")
    domain = tmp_path / "new.xml"
    domain.write_text("<domain type='kvm'><name>ci-new</name><cpu mode='host-passthrough'/></domain>")
    words = [f"--evidence={tmp_path}/evidence", f"--domain-xml={domain}", "--gate"]
    run = run_suite(*words, report_dir=tmp_path / "reports")
    assert (run.status, run.document["run"]["complete"]) == (0, True)
    narrowed = run_suite(*words, "-k", "not DOM-CPU-02", report_dir=tmp_path / "reports")
    assert narrowed.status != 0
    assert narrowed.document["run"]["complete"] is False


def test_a_sites_check_that_is_left_out_is_missed(tmp_path: Path) -> None:
    record(tmp_path / "evidence", "kvm-a")
    root = suite_with(tmp_path, "def test_own(target):\n    '''It holds.'''\n")
    words = [f"--evidence={tmp_path}/evidence", "--gate"]
    whole = run_suite(*words, report_dir=tmp_path / "reports", root=root)
    assert whole.status == 0
    for left_out in ("--ignore=checks/site/test_own.py", "--deselect=checks/site/test_own.py", "-k=not test_own"):
        run = run_suite(*words, left_out, report_dir=tmp_path / "reports", root=root)
        assert (run.status != 0, run.document["run"]["complete"]) == (True, False), left_out


@pytest.mark.parametrize("words", [["--collect-only"], ["--fixtures"], ["--fixtures-per-test"], ["--controls"]])
def test_a_gate_does_not_list(evidence: Path, tmp_path: Path, words: list[str]) -> None:
    run = run_suite(f"--evidence={evidence}", "--gate", *words, report_dir=tmp_path / "reports")
    assert (run.status, run.output) == (4, "")
    assert run.errors.startswith("ERROR: --gate decides on a run: ")


@pytest.mark.parametrize("plugin", ["html", "pytest11.testinfra", "junitxml", "skipping"])
def test_a_plugin_that_is_missing_is_an_error_of_usage(tmp_path: Path, plugin: str) -> None:
    run = run_suite("-p", f"no:{plugin}", report_dir=tmp_path / "reports")
    assert run.status == 4
    assert "Traceback" not in run.text
    assert "is not active: the audit needs it" in run.errors


@pytest.mark.parametrize(("words", "status"), [([], 4), (["--nagios"], 3)])
def test_no_plugins_at_all_are_an_error_of_usage(tmp_path: Path, words: list[str], status: int) -> None:
    ended = subprocess.run(
        command_line(*words, report_dir=tmp_path / "reports"),
        cwd=ROOT,
        env={**environment(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == status
    assert "Traceback" not in ended.stderr
    assert bool(ended.stdout.startswith("NESTED-KVM UNKNOWN")) is ("--nagios" in words)


def test_every_own_control_is_owed_whatever_pytest_is_told_to_collect(tmp_path: Path) -> None:
    """The catalogue is read without pytest: no option of it changes what is owed."""
    shutil.copytree(ROOT / "checks", tmp_path / "checks", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "checks" / "site" / "test_own.py").write_text("raise SystemExit(os)\n")
    given = os.environ.get("PYTEST_ADDOPTS")
    names = {each.control.id for each in own_controls(tmp_path)}
    assert names == {each.control.id for each in own_controls(ROOT)}
    assert {"L0-KVM-04", "DOM-CPU-02", "L1-CPU-01", "DOM-OPS-01"} <= names
    assert os.environ.get("PYTEST_ADDOPTS") == given
