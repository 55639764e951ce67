"""What a result takes of memory until the run ends: pytest's item and report of it, and the result itself.

Both runs take about 20 seconds of CPU.
"""

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.large_fleet import write_fleet
from tests.support.peak import bytes_in, measured
from tests.support.suite import ROOT, command_line, environment

pytestmark = [pytest.mark.slow, pytest.mark.heavy, pytest.mark.alone]

FEW: Final = 60
MANY: Final = 400
"""Hosts with a guest each."""
LIMIT: Final = 4_000
"""Bytes for each result, a fifth more than it takes; it was 5,000 when pytest-html and pytest kept more of each."""


def peak_and_results(folder: Path, hosts: int) -> tuple[int, int]:
    write_fleet(folder / "evidence", hosts)
    words = command_line(f"--evidence={folder / 'evidence'}", report_dir=folder / "reports")
    command = measured(words, folder / "peak")
    subprocess.run(
        command, cwd=ROOT, env=environment(folder), stdout=subprocess.DEVNULL, check=False
    )  # it has findings
    results = json.loads((folder / "reports/latest/results.json").read_text())["results"]
    return bytes_in(folder / "peak"), len(results)


def test_a_result_takes_little_memory(tmp_path: Path) -> None:
    few, many = (peak_and_results(tmp_path / str(hosts), hosts) for hosts in (FEW, MANY))
    assert many[1] - few[1] > 10_000
    assert (many[0] - few[0]) / (many[1] - few[1]) < LIMIT
