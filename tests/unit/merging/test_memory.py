"""Merging takes as much memory for forty shards as for four, and far less than what is merged.

Both merges take about 30 seconds of CPU.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.large_fleet import write_fleet
from tests.support.large_runs import write_shards
from tests.support.peak import bytes_in, measured
from tests.support.suite import ROOT, command_line, environment, run_suite

pytestmark = pytest.mark.slow

HOSTS: Final = 40
COPIES: Final = 40
"""Of that fleet: 1,600 hosts with a guest each. Their 65,600 results take 80 MB more where all are held."""
LIMIT: Final = 170
"""MB."""


@dataclass(frozen=True)
class Merge:
    """One merge of the whole fleet, and what it took at most, in MB."""

    status: int
    output: str
    memory: float


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("recorded")
    write_fleet(folder / "evidence", HOSTS)
    return run_suite(f"--evidence={folder}/evidence", report_dir=folder / "reports").document


@pytest.fixture(scope="module")
def merges(tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> dict[int, Merge]:
    return {shards: merge(tmp_path_factory.mktemp("shards"), document, shards) for shards in (4, 40)}


def merge(folder: Path, document: dict[str, Any], shards: int) -> Merge:
    runs = write_shards(folder / "runs", document, COPIES, shards)
    words = command_line(*(f"--merge={run}" for run in runs), report_dir=folder / "reports")
    with (folder / "output").open("w") as output:
        words = measured(words, folder / "peak")
        ended = subprocess.run(words, cwd=ROOT, env=environment(folder), stdout=output, stderr=output, check=False)
    return Merge(ended.returncode, (folder / "output").read_text(), bytes_in(folder / "peak") / 2**20)


def test_a_large_fleet_takes_little_memory(merges: dict[int, Merge]) -> None:
    assert {shards: made.memory for shards, made in merges.items() if made.memory > LIMIT} == {}


def test_more_shards_take_no_more(merges: dict[int, Merge]) -> None:
    assert merges[40].memory == pytest.approx(merges[4].memory, rel=0.15)


def test_they_come_to_the_whole_fleet(merges: dict[int, Merge], document: dict[str, Any]) -> None:
    targets, results = (COPIES * len(document[part]) for part in ("targets", "results"))
    assert [made.status for made in merges.values()] == [1, 1]
    assert all(f"{targets} targets, {results} results: " in made.output for made in merges.values())
    assert all("NOT COMPLIANT" in made.output.splitlines() for made in merges.values())


def test_they_say_what_takes_so_long(merges: dict[int, Merge]) -> None:
    assert all(
        "reading the results of" in made.output and "writing reports: " in made.output for made in merges.values()
    )
