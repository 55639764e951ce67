"""What a run kept of a live cluster, evaluated again: it has to be as that run left it."""

import json
import shutil
from pathlib import Path

import pytest

from examples.make_estates import ESTATES
from nested_kvm.inventory.estate import ESTATE_FILE
from tests.support.signing import allow, make_key
from tests.support.suite import SuiteRun, run_suite

EXAMPLE = ESTATES / "kubevirt"


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inventory") / "inventory.yaml"
    path.write_text("estate: {kubernetes: {context: prod}}\nguests: {'ci/*': {nested: required}}\n")
    return path


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    return allow(folder, make_key(folder))


@pytest.fixture(scope="module")
def past(inventory: Path, signers: Path, tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    """A signed run over what an earlier one left."""
    folder = tmp_path_factory.mktemp("past")
    shutil.copytree(EXAMPLE / "evidence", folder / "evidence")
    estate = json.loads((EXAMPLE / "estate.json").read_text())
    estate["metadata"] = {"readFrom": "prod", "namespaces": [], "notRead": ["a kind was not read"]}
    (folder / ESTATE_FILE).write_text(json.dumps(estate))
    words = (f"--inventory={inventory}", f"--evidence={folder / 'evidence'}", f"--sign-with={signers.parent / 'key'}")
    return run_suite(*words, report_dir=folder / "reports")


@pytest.fixture
def folder(past: SuiteRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(past.reports, tmp_path / "past"))


def evaluated(inventory: Path, folder: Path, *words: str) -> SuiteRun:
    return run_suite(
        f"--inventory={inventory}", f"--evidence={folder / 'evidence'}", *words, report_dir=folder.parent / "reports"
    )


def test_a_run_that_is_evaluated_again_is_as_before(
    inventory: Path, folder: Path, past: SuiteRun, signers: Path
) -> None:
    run = evaluated(inventory, folder, f"--allowed-signers={signers}")
    assert run.document["results"] == past.document["results"]
    assert run.status == past.status == 1
    assert "a kind was not read" in run.document["run"]["not_audited"]
    (given,) = (each for each in run.document["run"]["inputs"] if Path(each["file"]).name == ESTATE_FILE)
    assert (given["kind"], given["signed_by"]) == ("inventory", "audit@example.net")


@pytest.mark.parametrize("signed", [True, False])
def test_a_list_that_was_changed_after_its_run_is_refused(
    inventory: Path, folder: Path, signers: Path, *, signed: bool
) -> None:
    (folder / ESTATE_FILE).write_text((folder / ESTATE_FILE).read_text().replace("EPYC", "host-passthrough"))
    run = evaluated(inventory, folder, *([f"--allowed-signers={signers}"] if signed else []))
    assert run.status == 4
    assert f"{ESTATE_FILE} is not as results.json beside it records" in run.errors


def test_a_list_that_was_changed_with_its_results_needs_the_signature(
    inventory: Path, folder: Path, signers: Path
) -> None:
    (folder / "results.json").unlink()
    (folder / ESTATE_FILE).write_text((folder / ESTATE_FILE).read_text().replace("EPYC", "host-passthrough"))
    run = evaluated(inventory, folder, f"--allowed-signers={signers}")
    assert run.status == 4


@pytest.mark.parametrize("limit", ["--gate", "--max-age=7d"])
def test_a_list_of_which_the_age_is_not_known_is_refused_where_it_counts(
    inventory: Path, folder: Path, limit: str
) -> None:
    (folder / "results.json").unlink()
    assert evaluated(inventory, folder).status != 4
    run = evaluated(inventory, folder, limit)
    assert run.status == 4
    assert "keep the results.json of its run beside it" in run.errors


def test_evidence_without_the_list_of_its_run_is_refused(inventory: Path, folder: Path) -> None:
    (folder / ESTATE_FILE).unlink()
    run = evaluated(inventory, folder)
    assert run.status == 4
    assert "with --evidence no cluster is read" in run.errors
