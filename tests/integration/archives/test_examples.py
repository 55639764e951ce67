"""The example archives and the page about them are those that the code makes, and give what the page says."""

import json
from pathlib import Path

import jsonschema
import pytest

from examples.make_archives import ARCHIVES, MADE, files_of
from nested_kvm.evidence.archive.tree import read_tree
from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.evidence.saved import read_saved
from tests.support import archive_page
from tests.support.suite import run_suite

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", MADE)
def test_an_example_is_the_one_that_the_code_makes(name: str) -> None:
    """Run `python -m examples.make_archives` where this fails."""
    tree = read_tree(ARCHIVES / name, lambda _: True)
    made = files_of(name)
    contents = {path: each.encode() if isinstance(each, str) else each for path, each in made.items()}
    assert tree.files == {path: each for path, each in contents.items() if isinstance(each, bytes)}
    assert tree.links == {path: str(each) for path, each in contents.items() if isinstance(each, Path)}


def test_there_is_no_other_example() -> None:
    assert {path.name for path in ARCHIVES.iterdir()} == set(MADE)


def test_the_page_is_current() -> None:
    """Run `python -m tests.support.archive_page > docs/archive-controls.md` where this fails."""
    assert (ROOT / "docs/archive-controls.md").read_text() == archive_page.page()


def test_the_examples_pass_and_fail_as_the_page_says(tmp_path: Path) -> None:
    done = run_suite("-q", "--evidence=examples/archives", report_dir=tmp_path / "reports")
    document = json.loads((tmp_path / "reports/latest/results.json").read_text())
    failed = {(each["target"], each["control"]) for each in document["results"] if each["outcome"] == "fail"}
    assert done.status == 1
    assert failed == {
        ("kvm-22", "L0-PER-01"),
        ("kvm-24", "L0-CPU-01"),
        ("kvm-24", "L0-KVM-01"),
        ("kvm-26", "L0-KVM-04"),
    }
    assert not any(each["outcome"] == "error" for each in document["results"])
    assert {each["address"] for each in document["targets"]} >= {
        "sosreport://sosreport-kvm-21.tar.xz",
        "insights://insights-kvm-23.tar.xz",
        "must-gather://must-gather-worker-1.tar.xz",
    }


def test_a_run_of_an_archive_can_be_evaluated_again(tmp_path: Path) -> None:
    run_suite("--evidence=examples/archives/sosreport-kvm-22.tar.xz", report_dir=tmp_path / "reports")
    first = (tmp_path / "reports/latest").resolve()
    run_suite(f"--evidence={first}/evidence", report_dir=tmp_path / "reports")
    again = (tmp_path / "reports/latest").resolve()
    assert first != again
    assert _outcomes(first) == _outcomes(again) != {}


def test_the_evidence_of_an_archive_is_of_the_published_schema(tmp_path: Path) -> None:
    schema = json.loads((ROOT / "nested_kvm/schema/evidence-1.schema.json").read_text())
    for bundle in read_saved(ARCHIVES):
        jsonschema.validate(json.loads(write_bundle(tmp_path, bundle).read_text()), schema)
    assert len(list(tmp_path.iterdir())) == len(MADE)


def test_two_archives_of_one_machine_are_refused(tmp_path: Path) -> None:
    data = (ARCHIVES / "sosreport-kvm-21.tar.xz").read_bytes()
    for name in ("monday.tar.xz", "tuesday.tar.xz"):
        (tmp_path / name).write_bytes(data)
    done = run_suite(f"--evidence={tmp_path}", report_dir=tmp_path / "reports")
    assert done.status == 4
    assert "monday.tar.xz and tuesday.tar.xz are both for kvm-21" in done.text


def _outcomes(run: Path) -> dict[str, tuple[str, str]]:
    results = json.loads((run / "results.json").read_text())["results"]
    return {each["control"]: (each["outcome"], each["message"]) for each in results}
