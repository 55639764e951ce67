"""The exit status never lies: 0, 1, 4 and 6, with --gate and --fail-on."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nested_kvm.evidence.reading import Reading, Status
from tests.support.recorded import SAVES_GUESTS, record
from tests.support.suite import REPORTS, SuiteRun, run_many

CRITICAL = {"/proc/cpuinfo": "processor : 0\nvendor_id : AuthenticAMD\nflags : fpu lm"}
NO_FLAG_READ = {"/proc/cpuinfo": Reading("", Status.UNREADABLE)}
NOT_FOUND = f"modprobe: FATAL: Module kvm_amd not found in directory /lib/modules/{'x' * 8}"
UNDECIDED = {
    "modprobe --show-depends kvm_amd": Reading("", Status.FAILED, NOT_FOUND, 1),
    "modinfo --parameters kvm_amd": Reading("", Status.FAILED, NOT_FOUND, 1),
}

CASES = {
    ("compliant", ""): (0, "COMPLIANT"),
    ("compliant", "--gate"): (0, "compliant  PASS"),
    ("critical", ""): (1, "NOT COMPLIANT"),
    ("critical", "--fail-on=critical"): (1, "NOT COMPLIANT"),
    ("high", ""): (1, "NOT COMPLIANT"),
    ("high", "--fail-on=low"): (1, "NOT COMPLIANT"),
    ("high", "--fail-on=high"): (1, "NOT COMPLIANT"),
    ("high", "--fail-on=critical"): (0, "COMPLIANT (1 finding below --fail-on not counted)"),
    ("high", "--fail-on=critical --gate"): (0, "COMPLIANT (1 finding below --fail-on not counted)"),
    ("undecided", ""): (0, "NOT DECIDED"),
    ("undecided", "--gate"): (1, "NOT DECIDED"),
    ("unreadable", ""): (6, "NOT DECIDED"),
    ("unreadable", "--fail-on=critical"): (6, "NOT DECIDED"),
    ("unreadable", "--gate"): (1, "NOT DECIDED"),
    ("both", ""): (1, "NOT COMPLIANT"),
    ("both", "--fail-on=critical"): (6, "NOT DECIDED"),
    ("compliant", "-k no_such_control"): (5, "NO VERDICT: no control was selected for any target (-k, -m, or a path)"),
    ("compliant", "checks/l1"): (5, "NO VERDICT: no control was selected for any target (-k, -m, or a path)"),
    ("compliant", "-k explicit"): (4, "NO VERDICT: no control applies to any of the targets"),
}
"""The evidence and the options; the exit status, and a line of the summary."""

Runs = Mapping[tuple[str, str], SuiteRun]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("status")
    record(folder / "compliant", "compliant")
    record(folder / "critical", "critical", readings=CRITICAL)
    record(folder / "high", "high", readings=SAVES_GUESTS)
    record(folder / "undecided", "undecided", readings=UNDECIDED)
    record(folder / "unreadable", "unreadable", readings=NO_FLAG_READ)
    record(folder / "both", "high", readings=SAVES_GUESTS)
    record(folder / "both", "unreadable", readings=NO_FLAG_READ)
    lines = [[f"--evidence={folder}/{name}", *options.split()] for name, options in CASES]
    return dict(zip(CASES, run_many(lines, report_dir=folder / "reports"), strict=True))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_exit_status_says_what_was_found(runs: Runs, name: str, options: str) -> None:
    run = runs[name, options]
    status, line = CASES[name, options]
    assert (run.status, run.errors) == (status, "")
    assert [each for each in run.output.splitlines() if each == line or each.startswith(f"{line}: ")]


def test_a_gate_names_what_blocks(runs: Runs) -> None:
    for name in ("undecided", "unreadable"):
        (verdict,) = [line for line in runs[name, "--gate"].output.splitlines() if "  BLOCK  " in line]
        assert verdict.startswith(f"{name}  BLOCK  L0-")


def test_only_a_gate_prints_verdict_lines(runs: Runs) -> None:
    for (_, options), run in runs.items():
        lines = [line for line in run.output.splitlines() if "  BLOCK  " in line or line.endswith("  PASS")]
        assert bool(lines) == ("--gate" in options)


def test_the_report_of_each_run_is_named(runs: Runs) -> None:
    for run in runs.values():
        named = [line.removeprefix("report: ") for line in run.output.splitlines() if line.startswith("report: ")]
        folders = [path.parent for path in map(Path, named)]
        assert [each.parent for each in folders] == [run.report_dir]
        assert not folders[0].is_symlink()
        assert Path(named[0]).is_file()


def test_runs_of_the_same_second_have_a_folder_each_and_latest_is_the_last(runs: Runs) -> None:
    run = next(iter(runs.values()))
    folders = [path for path in run.report_dir.iterdir() if not path.is_symlink()]
    assert len(folders) == len(CASES)
    assert any("." in path.name for path in folders), "no two runs began in the same second"
    newest = max(folders, key=lambda path: (path / "results.json").stat().st_mtime_ns)
    assert run.reports.is_symlink()
    assert run.reports.resolve() == newest.resolve()
    assert {each.name for each in Path(newest).iterdir()} == REPORTS | {"evidence"}
