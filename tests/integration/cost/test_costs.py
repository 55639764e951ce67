"""What a run may cost, counted and not timed: these numbers are the same on every machine."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.controls.catalogue import catalogue
from tests.support.guests import PLAIN_GUEST, ssh_config
from tests.support.large_fleet import write_fleet
from tests.support.sshd import SshdFactory
from tests.support.suite import ROOT, environment, run_suite

pytestmark = pytest.mark.alone

HOSTS = 6
MODULES = 1175
"""How many may be imported before the first verdict: a few more than are, of which a sixth is our own."""
FOR_REPORTS = {"jinja2.compiler", "prometheus_client.exposition", "nested_kvm.reporting.html.opening"}
COUNTED = """\
import json, sys, warnings
from collections import Counter
import pytest

class Count:
    def __init__(self):
        self.calls = Counter()
        self.modules = 0
        self.filters = None

    def pytest_runtest_logreport(self):
        self.calls["warning filters"] += warnings.filters is not self.filters
        self.filters = warnings.filters
        self.calls["reports"] += 1
        self.modules = self.modules or len(sys.modules)

    def pytest_runtest_setup(self):
        self.calls["set up"] += 1

    def pytest_fixture_setup(self):
        self.calls["fixtures"] += 1

    def pytest_collection_finish(self, session):
        self.calls["items"] = len(session.items)

count = Count()
pytest.main(sys.argv[2:], plugins=[count])
with open(sys.argv[1], "w") as file:
    json.dump({**count.calls, "modules": count.modules}, file)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evidence of a few hosts with a guest each."""
    folder = tmp_path_factory.mktemp("costs")
    write_fleet(folder / "evidence", HOSTS)
    return folder


def count(folder: Path, *options: str) -> Mapping[str, Any]:
    """Judge them, and count what pytest does for it."""
    words = [f"--evidence={folder}/evidence", f"--report-dir={folder}/reports", "-p", "no:hypothesispytest"]
    command = [sys.executable, "-c", COUNTED, str(folder / "counts.json"), *words, *options]
    subprocess.run(command, cwd=ROOT, env=environment(folder), capture_output=True, check=True)
    found: Mapping[str, Any] = json.loads((folder / "counts.json").read_text())
    return found


@pytest.fixture(scope="module")
def counted(folder: Path) -> Mapping[str, Any]:
    return count(folder)


def test_a_control_is_reported_once_a_finding_twice_and_nothing_is_set_up(
    counted: Mapping[str, int], folder: Path
) -> None:
    results = json.loads((folder / "reports/latest/results.json").read_text())["results"]
    assert len(results) == counted["items"] > 0
    findings = sum(result["outcome"] == "fail" for result in results)
    assert counted["reports"] == len(results) + findings > len(results)
    assert counted.get("set up", 0) == counted.get("fixtures", 0) == 0


def test_the_filters_of_warnings_are_set_once_for_all_controls(counted: Mapping[str, int]) -> None:
    assert counted["warning filters"] == 1


def test_pytests_own_junit_is_told_of_the_end_of_each(folder: Path) -> None:
    counted = count(folder, f"--junitxml={folder}/pytest.xml")
    assert counted["reports"] == 2 * counted["items"]
    assert (folder / "pytest.xml").read_text().count("<testcase ") == counted["items"]


def test_no_target_has_more_items_than_there_are_controls(counted: Mapping[str, int]) -> None:
    assert counted["items"] <= HOSTS * len(catalogue(ROOT))


def test_little_is_imported_before_the_first_verdict(counted: Mapping[str, int]) -> None:
    assert 0 < counted["modules"] <= MODULES


@pytest.mark.needs("sshd", "accounts")
def test_each_host_is_one_login_and_one_execution(start_sshd: SshdFactory, tmp_path: Path) -> None:
    machine = start_sshd(prelude=PLAIN_GUEST, settings=["MaxStartups 100"])
    names = [f"kvm-{number}" for number in range(HOSTS)]
    config = ssh_config(tmp_path, dict.fromkeys(names, machine))
    hosts = "".join(f"  {name}: {{address: 'ssh://{name}', libvirt: none}}\n" for name in names)
    (tmp_path / "fleet.yaml").write_text(f"hosts:\n{hosts}")
    run = run_suite(f"--inventory={tmp_path}/fleet.yaml", f"--ssh-config={config}", report_dir=tmp_path / "reports")
    assert [target["observed"] for target in run.document["targets"]] == [True] * HOSTS
    assert (machine.logins, machine.executions) == (HOSTS, HOSTS)
