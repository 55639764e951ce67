"""Files and streams that cannot be written, plugins that are off: one line, and no status of a verdict."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from _pytest.config import default_plugins

from nested_kvm.plugin.required_plugins import REQUIRED_PLUGINS
from tests.support.recorded import record
from tests.support.suite import REPORTS, ROOT, SuiteRun, command_line, environment, run_many, run_suite

BAD = {"/sys/module/kvm_amd/parameters": "nested=0\nnpt=Y"}
FILES = ("/", "/dev/full", "/proc/absent/file")
OPTIONS = ("--html=", "--junitxml=", "--log-file=", "-olog_file=", "--css=")
BY_PYTEST = "--junitxml=/"
"""Refused by pytest before any plugin is loaded: Nagios takes 4 for a failure of the plugin."""
ESSENTIAL = {"main", "helpconfig"}
"""What pytest itself refuses to disable, beside those that the audit requires."""


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("lost")
    record(folder / "good", "kvm-a")
    record(folder / "bad", "kvm-a", readings=BAD)
    return {name: folder / name for name in ("good", "bad")}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("words", [["--gate"], ["--nagios"]], ids=str)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_inspected(
    evidence: Mapping[str, Path], tmp_path: Path, words: list[str], option: str, file: str
) -> None:
    run = run_suite(f"--evidence={evidence['good']}", *words, option + file, report_dir=tmp_path / "reports")
    is_nagios = words == ["--nagios"] and option + file != BY_PYTEST
    assert run.status == (3 if is_nagios else 4)
    assert [line for line in run.output.splitlines() if not line.startswith("NESTED-KVM UNKNOWN - --")] == []
    assert len(run.errors.split("\n\n")[0].splitlines()) == 1
    assert run.errors.startswith("ERROR: --")
    assert file in run.errors
    assert not run.report_dir.exists()


def test_a_file_that_can_be_written_is_written_and_nothing_else_is_left(
    evidence: Mapping[str, Path], tmp_path: Path
) -> None:
    names = {"--html": "new/a.html", "--junitxml": "new/b.xml", "--log-file": "new/c.log"}
    words = [f"{option}={tmp_path / name}" for option, name in names.items()]
    run = run_suite(f"--evidence={evidence['good']}", *words, report_dir=tmp_path / "reports")
    assert (run.status, run.errors) == (0, "")
    assert {path.name for path in (tmp_path / "new").iterdir()} - {"assets"} == {"a.html", "b.xml", "c.log"}
    refused = run_suite(*words, "--css=/absent", report_dir=tmp_path / "other")
    assert refused.status == 4


def test_a_log_file_that_is_full_at_the_end_costs_no_report(evidence: Mapping[str, Path], tmp_path: Path) -> None:
    """A file that had room when the run began: here its own limit of size ends it."""
    plugin = tmp_path / "noisy.py"
    plugin.write_text("import logging\ndef pytest_runtestloop():\n    logging.getLogger().error('x' * 200_000)\n")
    limited = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "import logging; from pathlib import Path; log = Path(sys.argv.pop(1)); log.write_bytes(b'x'); "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)); import pytest; sys.exit(pytest.main())"
    for words, status in (["--gate"], 4), (["--nagios"], 3):
        log = tmp_path / f"{status}.log"
        arguments = [f"--evidence={evidence['good']}", f"--log-file={log}", "-p", "noisy", *words]
        ended = subprocess.run(
            [sys.executable, "-c", limited, str(log), f"--report-dir={tmp_path}/{status}", *arguments],
            cwd=ROOT,
            env={**environment(tmp_path), "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == status
        assert "ERROR: --log-file: File too large" in ended.stderr
        assert "Traceback" not in ended.stdout + ended.stderr
        assert "NESTED-KVM OK" not in ended.stdout
        assert {each.name for each in (tmp_path / str(status) / "latest").iterdir()} >= REPORTS


STREAMS = {"full": ">/dev/full", "closed": ">&-", "both closed": ">&- 2>&-", "both full": ">/dev/full 2>/dev/full"}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("mode", ["", "--gate", "--nagios"])
@pytest.mark.parametrize("machine", ["good", "bad"])
def test_what_standard_output_did_not_take_is_no_verdict(
    evidence: Mapping[str, Path], tmp_path: Path, machine: str, mode: str, stream: str
) -> None:
    ended = shell(STREAMS[stream], f"--evidence={evidence[machine]}", *mode.split(), folder=tmp_path)
    assert ended.returncode == (3 if mode == "--nagios" else 4)
    if "both" not in stream:
        reason = "it is closed" if stream == "closed" else "No space left on device"
        assert ended.stderr == f"ERROR: standard output was not written: {reason}\n"
    assert {each.name for each in (tmp_path / "reports" / "latest").iterdir()} >= REPORTS


@pytest.mark.parametrize("listing", ["--controls", "--help", "--markers", "--collect-only", "--fixtures"])
def test_a_listing_that_nothing_took_did_not_end_well(tmp_path: Path, listing: str) -> None:
    ended = shell(">/dev/full", listing, folder=tmp_path)
    assert ended.returncode in {3, 4}
    (line,) = ended.stderr.splitlines()
    assert line.startswith("ERROR: ")
    assert "No space left on device" in line


def test_standard_error_may_be_lost(evidence: Mapping[str, Path], tmp_path: Path) -> None:
    for words, status in ([], 1), (["--gate"], 1), (["--nagios"], 2):
        run = shell("2>/dev/full", f"--evidence={evidence['bad']}", *words, folder=tmp_path)
        assert run.returncode == status


def shell(redirection: str, *words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command_line(*words, report_dir=folder / "reports")],
        cwd=ROOT,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(("words", "status"), [([], 3), (["--nagios"], 3)], ids=str)
def test_an_exception_that_ends_the_process_is_no_finding(tmp_path: Path, words: list[str], status: int) -> None:
    run = run_suite("--debug=/", *words, report_dir=tmp_path / "reports")
    assert run.status == status
    assert run.errors.startswith("ERROR: the run broke: IsADirectoryError: ")
    assert len(run.errors.splitlines()) == 1
    assert bool(run.output) is bool(words)


def plugins() -> list[str]:
    """Every plugin that pytest has here, as `-p no:` takes it."""
    installed = [each.name for each in entry_points(group="pytest11")]
    return sorted({*default_plugins, *installed, *REQUIRED_PLUGINS, "capturemanager", "nested_kvm.plugin.early"})


@pytest.fixture(scope="module")
def without(
    evidence: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[tuple[str, str], SuiteRun]:
    folder = tmp_path_factory.mktemp("without")
    cases = [(machine, plugin) for machine in evidence for plugin in plugins()]
    folders = {case: folder / str(number) for number, case in enumerate(cases)}
    lines = [
        [f"--evidence={evidence[machine]}", "--gate", "-p", f"no:{plugin}", f"--report-dir={folders[machine, plugin]}"]
        for machine, plugin in cases
    ]
    runs = run_many(lines, report_dir=folder / "reports")
    return {case: replace(run, report_dir=folders[case]) for case, run in zip(cases, runs, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("plugin", plugins())
def test_a_run_without_a_plugin_is_refused_or_decides_the_same(
    without: Mapping[tuple[str, str], SuiteRun], plugin: str
) -> None:
    for machine, status in ("good", 0), ("bad", 1):
        run = without[machine, plugin]
        assert "Traceback" not in run.text
        if plugin in REQUIRED_PLUGINS or plugin in ESSENTIAL:
            assert (run.status, run.output) == (4, "")
            assert len(run.errors.split("\n\n")[0].splitlines()) == 1
            continue
        whole = without[machine, "pastebin"]
        assert run.status == status
        assert run.outcomes("kvm-a") == whole.outcomes("kvm-a")
        assert run.document["run"]["complete"] is True
        assert "Nested KVM compliance" in run.html


@pytest.mark.parametrize("words", [["--noconftest"], ["-p", "no:nested_kvm.plugin.hooks"]], ids=" ".join)
@pytest.mark.parametrize(("mode", "status"), [([], 4), (["--nagios"], 3)], ids=str)
def test_a_suite_without_the_audit_is_refused(words: list[str], mode: list[str], status: int, tmp_path: Path) -> None:
    """With no option of the audit's, pytest would evaluate the checks as tests of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *mode],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == status
    assert ended.stderr.startswith("ERROR: ")
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "OK" not in ended.stdout


@pytest.mark.parametrize(("body", "status"), [("pass", 0), ("assert False", 2)])
def test_another_suites_nagios_is_testinfras_own(tmp_path: Path, body: str, status: int) -> None:
    """The early plugin is loaded in every suite of its environment."""
    (tmp_path / "test_own.py").write_text(f"def test_own(host):\n    {body}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "--nagios", "--hosts=local://"],
        cwd=tmp_path,
        env={**environment(tmp_path), "PYTHONPATH": os.fspath(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == status
    assert ended.stdout.startswith("TESTINFRA ")
    assert "NESTED-KVM" not in ended.stdout
