"""What `--merge` refuses ends with 4 and leaves nothing; what interrupts it leaves nothing either."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nested_kvm.results.run import ResultList, Run
from nested_kvm.results.waiver import Waiver
from tests.support.large_fleet import write_fleet
from tests.support.large_runs import write_shards
from tests.support.made_runs import FAIL, PASS
from tests.support.merging import host, leave, leave_all, on, run_on, shards_on
from tests.support.started_pytest import SECONDS
from tests.support.suite import ROOT, command_line, environment, run_many, run_suite

CONTRADICTIONS = {
    "--inventory=inventories/local.yaml": "--inventory does not go with --merge",
    "--ansible-inventory=hosts.ini": "--ansible-inventory does not go with --merge",
    "--hosts=kvm-a": "--hosts does not go with --merge",
    "--evidence=evidence": "--evidence does not go with --merge",
    "--active": "--active does not go with --merge",
    "--waivers=waivers.yaml": "--waivers does not go with --merge",
    "--baseline=results.json": "--baseline does not go with --merge",
    "--shard=1/2": "--shard does not go with --merge",
    "--domain-xml=new.xml": "--domain-xml does not go with --merge",
    "-k=cpu": "-k does not go with --merge",
    "-m=maintenance": "-m does not go with --merge",
    "--level=L0": "--level does not go with --merge",
    "checks/test_l0_cpu.py": "checks/test_l0_cpu.py does not go with --merge",
    "--collect-only": "there is nothing to list",
    "--junitxml=junit.xml": "use junit.xml in the report directory",
    "--fail-on-drift": "none of these runs was compared with a baseline",
}


def test_what_is_for_the_runs_is_refused(tmp_path: Path) -> None:
    folder = leave(tmp_path / "run", run_on("kvm-a"))
    known = {option: reason for option, reason in CONTRADICTIONS.items() if not option.startswith("checks")}
    lines = [[f"--merge={folder}", option] for option in known]
    runs = run_many(lines, report_dir=tmp_path / "reports")
    assert {option: run.status for option, run in zip(known, runs, strict=True) if run.status != 4} == {}
    wrong = [(run.text, reason) for run, reason in zip(runs, known.values(), strict=True) if reason not in run.text]
    assert wrong == []
    assert not (tmp_path / "reports").exists()


def test_a_path_of_checks_is_refused(tmp_path: Path) -> None:
    folder = leave(tmp_path / "run", run_on("kvm-a"))
    path = next((ROOT / "checks").glob("**/test_*.py")).relative_to(ROOT)
    run = run_suite(f"--merge={folder}", path, report_dir=tmp_path / "reports")
    assert (run.status, f"{path} does not go with --merge" in run.errors) == (4, True)


def test_what_cannot_be_merged_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    good = leave(tmp_path / "good", run_on("kvm-a"))
    cut = leave(tmp_path / "cut", run_on("kvm-b")) / "results.json"
    cut.write_text(cut.read_text()[:-20])
    twice = leave_all(tmp_path, shards_on(("kvm-c",), ("kvm-d",)))
    cases = {
        f"--merge: {tmp_path}/nowhere: No such file": [tmp_path / "nowhere"],
        f"--merge: {cut}: ": [good, cut.parent],
        f"as does {good}/results.json": [good, good],
        "is shard 1, as is": [twice[0], twice[0]],
    }
    runs = run_many(
        [[f"--merge={each}" for each in given] for given in cases.values()], report_dir=tmp_path / "reports"
    )
    assert [run.status for run in runs] == [4] * len(cases)
    assert [reason for reason, run in zip(cases, runs, strict=True) if reason not in run.errors] == []
    assert not (tmp_path / "reports").exists()


def test_nagios_does_not_take_a_refusal_for_an_answer(tmp_path: Path) -> None:
    run = run_suite(f"--merge={tmp_path}/nowhere", "--nagios", report_dir=tmp_path / "reports")
    assert (run.status, run.output.startswith("NESTED-KVM UNKNOWN - --merge: ")) == (3, True)


def observed(name: str, age: timedelta) -> Run:
    run = run_on(name)
    run.targets = [replace(host(name), observed_at=datetime.now(UTC) - age)]
    run.results = ResultList([on(name, PASS)])
    return run


@pytest.mark.parametrize(
    ("hours", "words", "reason"),
    [
        (23, ["--gate"], ""),
        (25, ["--gate"], "kvm-b was observed at "),
        (25, ["--nagios"], "kvm-b was observed at "),
        (25, ["--gate", "--max-age=2d"], ""),
        (25, [], ""),
        (25, ["--max-age=24h"], "kvm-b was observed at "),
        (-1, ["--gate"], "kvm-b was observed in the future"),
    ],
)
def test_a_gate_decides_on_no_run_of_long_ago(tmp_path: Path, hours: int, words: list[str], reason: str) -> None:
    """One part of a fleet may be of an earlier pipeline than the others."""
    runs = [observed("kvm-a", timedelta(0)), observed("kvm-b", timedelta(hours=hours))]
    folders = [f"--merge={folder}" for folder in leave_all(tmp_path, runs)]
    run = run_suite(*folders, *words, report_dir=tmp_path / "reports")
    assert run.status == ({"--nagios": 3}.get(words[0], 4) if reason else 0)
    assert reason in run.text


@pytest.mark.parametrize(
    ("days", "words", "status"), [(0, ["--gate"], 0), (-1, ["--gate"], 4), (-1, ["--nagios"], 3), (-1, [], 0)]
)
def test_a_gate_accepts_nothing_by_a_waiver_that_has_ended(
    tmp_path: Path, days: int, words: list[str], status: int
) -> None:
    last = datetime.now(UTC).date() + timedelta(days=days)
    waiver = Waiver("L0-PER-01", "*", None, "reason", "me", last, "waivers.yaml:2")
    waived = observed("kvm-a", timedelta(0))
    waived.results = ResultList([on("kvm-a", PASS), on("kvm-a", FAIL, control="L0-PER-01", waiver=waiver)])
    run = run_suite(f"--merge={leave(tmp_path / 'run', waived)}", *words, report_dir=tmp_path / "reports")
    assert run.status == status
    assert (f"a waiver expired on {last}" in run.text) is (status in {3, 4})


def test_hostile_texts_command_neither_the_terminal_nor_the_page(tmp_path: Path) -> None:
    hostile = "\x1b[31m<script>alert(1)</script>\u202e"
    run = run_on(f"kvm-{hostile}", inventory=hostile)
    words = [f"--merge={leave(tmp_path / 'run', run)}", "--gate", "--max-age=3650d", "-v"]
    merged = run_suite(*words, report_dir=tmp_path / "reports")
    assert merged.status == 1
    assert not {"\x1b", "\u202e"} & set(merged.text)
    assert "<script>alert" not in merged.html
    assert merged.document["targets"][0]["name"] == f"kvm-{hostile}"


def test_a_report_directory_that_cannot_be_written(tmp_path: Path) -> None:
    folder = leave(tmp_path / "run", run_on("kvm-a"))
    (tmp_path / "file").touch()
    run = run_suite(f"--merge={folder}", report_dir=tmp_path / "file")
    assert (run.status, "--report-dir: " in run.errors) == (4, True)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs that take some seconds to be merged."""
    folder = tmp_path_factory.mktemp("large")
    write_fleet(folder / "evidence", 20)
    run = run_suite(f"--evidence={folder}/evidence", report_dir=folder / "reports")
    return write_shards(folder / "shards", run.document, copies=30, shards=2)


def is_reading(process: int, _reports: Path) -> bool:
    """Whether its database is open, which has no name any more."""
    folder = Path(f"/proc/{process}/fd")
    with suppress(OSError):  # what is closed while one looks
        links = [str(each.readlink()) for each in folder.iterdir()]
        return any("nested-kvm-merge" in link and link.endswith(" (deleted)") for link in links)
    return False


def is_writing(_process: int, reports: Path) -> bool:
    return any(reports.glob("2*/results.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("begun", [is_reading, is_writing])
def test_what_interrupts_it_leaves_nothing(
    tmp_path: Path, large: list[Path], begun: Callable[[int, Path], bool], number: signal.Signals
) -> None:
    reports, temporary = tmp_path / "reports", tmp_path / "tmp"
    temporary.mkdir()
    words = command_line(*(f"--merge={each}" for each in large), report_dir=reports)
    with subprocess.Popen(
        words,
        cwd=ROOT,
        env={**environment(tmp_path), "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until = time.monotonic() + SECONDS
        while not begun(process.pid, reports) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=SECONDS)
    assert list(temporary.iterdir()) == []
    assert not (reports / "latest").is_symlink()
    if number is not signal.SIGKILL:
        assert process.returncode == 2, errors
        assert list(reports.glob("*/*")) == []
    if number is not signal.SIGKILL and begun is is_reading:
        assert errors == "interrupted: nothing was merged and no report was written\n"
        assert not reports.exists()


def test_the_copies_are_what_a_run_writes(large: list[Path]) -> None:
    """Else those tests prove nothing."""
    document = json.loads((large[0] / "results.json").read_text())
    assert document["run"]["shard"]["of"] == 2
    assert len({target["name"] for target in document["targets"]}) == len(document["targets"]) == 15 * 40
