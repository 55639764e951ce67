"""Readings, libvirt's words and file names that try to be commands for a terminal, in everything that pytest prints."""

import json
from pathlib import Path

import pytest

from tests.support.recorded import HOST, record
from tests.support.schema import assert_valid
from tests.support.suite import SuiteRun, run_suite

ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e\r\x08\x7f"
HOSTILE = {
    **{source: f"{text}{ESCAPES}" for source, text in HOST.items()},
    "/etc/modprobe.d/kvm.conf": f"options kvm_amd nested=y{ESCAPES}\noptions kvm{ESCAPES} x",
    "modprobe --show-depends kvm_amd": f"install {ESCAPES}",
}
LOUD = ("-vv", "-rA", "--tb=long", "--showlocals", "--durations=3", "-s", "--gate")
"""Everything that pytest can print."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readings")
    record(folder / "evidence", "all", readings=HOSTILE)
    for number, (source, text) in enumerate(HOSTILE.items()):
        record(folder / "evidence", f"one-{number}", readings={source: text})
    record(folder / "evidence", "refused", refusal=f"no{ESCAPES}")
    (folder / "evidence" / f"{ESCAPES}.json").write_text("{")
    broken = json.loads((folder / "evidence" / "refused.json").read_text())
    broken["target"]["name"] = f"named{ESCAPES}"
    (folder / "evidence" / "named.json").write_text(json.dumps(broken))
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> SuiteRun:
    return run_suite(f"--evidence={folder}/evidence", *LOUD, report_dir=folder / "reports")


def commands_in(text: str) -> set[str]:
    return {letter for letter in text if not letter.isprintable()} - {"\n"}


def test_no_reading_commands_the_terminal(run: SuiteRun) -> None:
    assert run.status == 1
    assert "could not be inspected" in run.output
    assert commands_in(run.text) == set()


def test_no_listing_does(folder: Path) -> None:
    for words in (["--collect-only"], ["--collect-only", "-q"], ["--collect-only", "-vv"]):
        listed = run_suite(f"--evidence={folder}/evidence", *words, report_dir=folder / "listed")
        assert "test_the_domain_runs_under_kvm[named" in listed.output
        assert commands_in(listed.text) == set()


def test_no_file_that_is_shown_by_cat_does(run: SuiteRun) -> None:
    """JUnit and `results.json` are read on terminals too."""
    assert commands_in((run.reports / "junit.xml").read_text()) == set()
    assert commands_in((run.reports / "results.json").read_text()) == set()
    for path in (run.reports / "evidence").iterdir():
        assert commands_in(path.name) == set()
    assert_valid(run)


def test_the_page_holds_no_command_either(run: SuiteRun) -> None:
    own = commands_in(run.html.partition("<body")[0])
    assert commands_in(run.html) <= own | {"\t", "\r"}
