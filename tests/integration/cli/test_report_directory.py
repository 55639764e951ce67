"""A report directory that is full, read-only, or another run's as well: a clear error, and no half report."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from nested_kvm.evidence.reading import Reading, Status
from tests.support.recorded import record
from tests.support.schema import assert_valid
from tests.support.suite import REPORTS, ROOT, SuiteRun, command_line, environment, run_suite


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("directory") / "evidence"
    record(folder, "kvm-a")
    record(folder, "kvm-b", refusal="Connection refused \x1b[31m\x00")
    record(folder, "kvm-c", readings={"/proc/cpuinfo": Reading("", Status.UNREADABLE)})
    return folder


def mounted(options: str, evidence: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the suite with a tmpfs of those options as its report directory, and list what it left there."""
    place = folder / "mounted"
    place.mkdir()
    run = shlex.join(command_line(f"--evidence={evidence}", *words, report_dir=place))
    look = f"find {shlex.quote(str(place))} -mindepth 1 -not -path '*/evidence*' -printf 'LEFT %f %y\\n' >&2"
    script = f"mount -t tmpfs -o {options} none {shlex.quote(str(place))}; {run}; status=$?; {look}; exit $status"
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script]
    return subprocess.run(
        command, cwd=ROOT, env=environment(folder), capture_output=True, text=True, timeout=300, check=False
    )


SIZES = [8, 16, 32, 48, 64, 80, 96, 112, 128, 144]
"""KiB: from too small for the first evidence to too small for the last report."""


@pytest.mark.needs("accounts")
@pytest.mark.parametrize("kib", SIZES)
def test_a_full_directory_is_an_error_and_leaves_no_report(evidence: Path, tmp_path: Path, kib: int) -> None:
    ended = mounted(f"size={kib}k", evidence, tmp_path)
    left = [line.split()[1] for line in ended.stderr.splitlines() if line.startswith("LEFT ")]
    assert ended.returncode == 4
    assert "ERROR: --report-dir: " in ended.stderr
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "latest" not in left
    assert REPORTS & set(left) == set()
    assert [name for name in left if name.endswith(".part")] == []


@pytest.mark.needs("accounts")
def test_a_directory_that_is_large_enough_has_every_report(evidence: Path, tmp_path: Path) -> None:
    ended = mounted("size=4m", evidence, tmp_path)
    left = {line.split()[1] for line in ended.stderr.splitlines() if line.startswith("LEFT ")}
    assert ended.returncode == 1
    assert left >= REPORTS | {"latest"}


@pytest.mark.needs("accounts")
@pytest.mark.parametrize(("words", "status"), [([], 4), (["--gate"], 4), (["--nagios"], 3)], ids=str)
def test_a_read_only_directory_is_an_error(evidence: Path, tmp_path: Path, words: list[str], status: int) -> None:
    ended = mounted("size=1m,ro", evidence, tmp_path, *words)
    assert ended.returncode == status
    assert "--report-dir: " in ended.stderr
    assert "Read-only file system" in ended.stderr
    assert "LEFT" not in ended.stderr


@pytest.mark.needs("accounts")
def test_nagios_is_told_unknown_by_a_full_directory(evidence: Path, tmp_path: Path) -> None:
    ended = mounted("size=96k", evidence, tmp_path, "--nagios")
    assert ended.returncode == 3
    assert ended.stdout.startswith("NESTED-KVM UNKNOWN - --report-dir: ")


def test_runs_at_the_same_time_have_a_whole_report_each(evidence: Path, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    processes = [
        subprocess.Popen(
            command_line(f"--evidence={evidence}", report_dir=reports),
            cwd=ROOT,
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
        )
        for _ in range(3)
    ]
    assert [process.wait(timeout=300) for process in processes] == [1, 1, 1]
    folders = [path for path in reports.iterdir() if not path.is_symlink()]
    assert len(folders) == 3
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == REPORTS | {"evidence", "remediation"}
    documents = [json.loads((folder / "results.json").read_text()) for folder in folders]
    assert len({each["run"]["id"] for each in documents}) == 3
    assert (reports / "latest").resolve() in folders
    assert_valid(SuiteRun(1, "", "", reports))


@pytest.fixture(scope="module")
def run(evidence: Path) -> SuiteRun:
    return run_suite(f"--evidence={evidence}", report_dir=evidence.parent / "reports")


def test_junit_is_read_with_the_counts_of_the_run(run: SuiteRun) -> None:
    (suite,) = JUnitXml.fromfile(str(run.reports / "junit.xml"))
    outcomes = [each["outcome"] for each in run.document["results"]]
    assert suite.tests == len(outcomes)
    assert (suite.failures, suite.errors) == (outcomes.count("fail"), outcomes.count("error"))
    assert suite.skipped == sum(outcomes.count(each) for each in ("unknown", "notapplicable", "notchecked"))


def test_junit_says_of_each_case_what_it_is_about(run: SuiteRun) -> None:
    cases = list(run.junit.iter("testcase"))
    keys = {(each["control"], each["target"], each["subject"]) for each in run.document["results"]}
    told = [{each.get("name"): each.get("value") for each in case.iter("property")} for case in cases]
    assert {(each["control"], each["target"], each["subject"]) for each in told} == keys
    assert all(case.get("classname") and case.get("name") for case in cases)


def test_junit_has_one_sentence_as_its_message(run: SuiteRun) -> None:
    (suite,) = JUnitXml.fromfile(str(run.reports / "junit.xml"))
    told = [each for case in suite for each in case.result]
    failures = [each for each in told if isinstance(each, Failure)]
    assert [each.message for each in failures] == [
        "L0-LIB-01 kvm-b: qemu:///system does not answer: Connection refused [31m"
    ]
    assert "remediation: " in failures[0].text
    assert all("\n" not in each.message for each in told if isinstance(each, Error | Skipped))


SUMMARY = "GITHUB_STEP_SUMMARY"


def with_summary(evidence: Path, folder: Path, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_line(f"--evidence={evidence}", report_dir=folder / "reports"),
        cwd=ROOT,
        env={**environment(folder), SUMMARY: os.fspath(file)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_summary_is_appended_to_what_github_shows(evidence: Path, tmp_path: Path) -> None:
    file = tmp_path / "summary"
    file.write_text("# What was there\n")
    ended = with_summary(evidence, tmp_path, file)
    assert ended.returncode == 1
    assert file.read_text() == "# What was there\n" + (tmp_path / "reports" / "latest" / "summary.md").read_text()
    assert "| high | kvm-b | L0-LIB-01 |" in file.read_text()


def test_the_summary_keeps_below_githubs_limit_whatever_was_there(evidence: Path, tmp_path: Path) -> None:
    file = tmp_path / "summary"
    file.write_text("x" * (1024 * 1024 - 100))
    assert with_summary(evidence, tmp_path, file).returncode == 1
    assert file.stat().st_size == 1024 * 1024 - 100


def test_a_summary_that_cannot_be_written_is_an_error(evidence: Path, tmp_path: Path) -> None:
    ended = with_summary(evidence, tmp_path, tmp_path / "absent" / "summary")
    assert ended.returncode == 4
    assert f"ERROR: {SUMMARY}: {tmp_path}/absent/summary: No such file or directory" in ended.stderr
    assert (tmp_path / "reports" / "latest" / "results.json").is_file()


def test_a_directory_named_latest_is_refused_before_anything_is_observed(tmp_path: Path) -> None:
    """A copy of the link, as some stores of artifacts make it, would stay as it is and be published."""
    record(tmp_path / "evidence", "kvm-a")
    stale = tmp_path / "reports" / "latest"
    stale.mkdir(parents=True)
    run = run_suite(f"--evidence={tmp_path}/evidence", report_dir=tmp_path / "reports")
    assert run.status == 4
    assert f"{stale} is a directory, not a link to a run: remove or rename it" in run.errors
    assert list((tmp_path / "reports").iterdir()) == [stale]


@pytest.mark.parametrize("lines", [0, 1])
def test_a_reader_that_goes_away_costs_no_report(tmp_path: Path, lines: int) -> None:
    """As with `| head -1`; it is no fault of the report directory."""
    record(tmp_path / "evidence", "kvm-a", refusal="Connection refused")
    with subprocess.Popen(
        command_line(f"--evidence={tmp_path}/evidence", "-vv", "-rA", report_dir=tmp_path / "reports"),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(lines):
            process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(timeout=300)
    assert (process.returncode, errors) == (1, "")
    assert {each.name for each in (tmp_path / "reports" / "latest").iterdir()} >= REPORTS


def test_a_full_standard_output_costs_no_report(tmp_path: Path) -> None:
    record(tmp_path / "evidence", "kvm-a", refusal="Connection refused")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command_line(f"--evidence={tmp_path}/evidence", report_dir=tmp_path / "reports"),
            cwd=ROOT,
            env=environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (
        4,
        "ERROR: standard output was not written: No space left on device\n",
    )
    assert {each.name for each in (tmp_path / "reports" / "latest").iterdir()} >= REPORTS
