"""Tests that share a fixture run in one process, whatever pytest-xdist does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.spreading import scope

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("unit/results/test_gate.py::test_a[1]", "unit/results/test_gate.py::test_b", True),
        ("unit/results/test_gate.py::test_a", "unit/results/test_waiving.py::test_a", False),
        ("integration/controls/test_contract.py::test_a", "integration/controls/test_scenarios.py::test_b", True),
        ("unit/facts/test_cpu.py::test_a[x]", "unit/facts/test_cpu.py::test_a[y]", False),
    ],
)
def test_what_shares_a_fixture_shares_a_process(one: str, other: str, *, together: bool) -> None:
    assert (scope(one) == scope(other)) is together


@pytest.mark.slow
def test_a_file_runs_in_one_process() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/unit/project/test_words.py",
        "-n2",
        "-v",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    workers = {line.split("]")[0] for line in done.stdout.splitlines() if "PASSED" in line}
    assert len(workers) == 1
