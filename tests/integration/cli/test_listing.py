"""What pytest lists without running anything, the suite lists without looking at anything."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nested_kvm.controls.catalogue import catalogue
from tests.support.suite import ROOT, run_suite


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """A port on which a visitor would be noticed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.0)
        yield server


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--collect-only", "test_nested_matches_the_policy[127.0.0.1:"),
        ("--fixtures", "kvm_module -- nested_kvm/plugin/fixtures.py"),
        ("--fixtures-per-test", "policy -- nested_kvm/plugin/fixtures.py"),
    ],
)
def test_a_listing_connects_to_nothing_and_reports_nothing(
    option: str, shown: str, door: socket.socket, tmp_path: Path
) -> None:
    address = f"ssh://127.0.0.1:{door.getsockname()[1]}"
    run = run_suite(option, "-v", f"--hosts={address}", "--level=L0", report_dir=tmp_path / "reports")
    assert run.status == 0
    assert shown in run.output
    assert "INTERNALERROR" not in run.text
    with pytest.raises(BlockingIOError):
        door.accept()
    assert not run.report_dir.exists()


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--help", "--inventory=FILE"),
        ("--markers", "@pytest.mark.maintenance"),
        ("--version", "pytest "),
        ("--controls", "L0-PER-01 (critical): The next load of the KVM module succeeds"),
    ],
)
def test_what_tells_of_the_suite_needs_no_target(option: str, shown: str, tmp_path: Path) -> None:
    run = run_suite(option, report_dir=tmp_path / "reports")
    assert (run.status, run.errors) == (0, "")
    assert shown in run.output
    assert not run.report_dir.exists()


def test_the_catalogue_has_a_line_for_each_control(tmp_path: Path) -> None:
    lines = run_suite("--controls", report_dir=tmp_path / "reports").output.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [control.id for control in catalogue(ROOT)]
