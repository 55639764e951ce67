"""Evidence that is none: an error of that target, and nothing else lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded import record
from tests.support.schema import assert_valid, problems
from tests.support.suite import SuiteRun, run_suite

UNUSABLE: dict[str, tuple[str | dict[str, Any], str]] = {
    "not-json": ("{", "not-json.json is not evidence of schema nested-kvm-compliance/evidence/1: Invalid JSON"),
    "empty": ("", "empty.json is not evidence of schema"),
    "binary": ("\udcff\udcfe\x00", "binary.json is not evidence of schema"),
    "a-list": ("[1, 2]", "a-list.json is not evidence of schema"),
    "other": ('{"schema": "other/1"}', "other.json is not evidence of schema"),
    "newer": (
        {"schema": "nested-kvm-compliance/evidence/2"},
        "newer.json is not evidence of schema nested-kvm-compliance/evidence/1: schema: ",
    ),
    "unknown-key": (
        {"added": True},
        "unknown-key.json is not evidence of schema nested-kvm-compliance/evidence/1: added",
    ),
    "unknown-status": (
        {"readings": [{"source": "id -u", "status": "fine", "text": "0", "exit_status": 0, "link": None}]},
        "unknown-status.json is not evidence of schema nested-kvm-compliance/evidence/1: readings.0.status",
    ),
    "no-address": ({"address": "telnet://x"}, "no-address.json: 'telnet://x' is not an address"),
}
"""A file's whole text, or what is changed in a good one; and the start of the message."""


def spoiled(good: dict[str, Any], name: str, change: str | dict[str, Any]) -> bytes:
    if isinstance(change, str):
        return change.encode(errors="surrogateescape")
    target = {**good["target"], "name": name}
    if "address" in change:
        return json.dumps({**good, "target": {**target, **change}}).encode()
    return json.dumps({**good, "target": target, **change}).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evidence of a healthy host, of its guest without an address, and files that are none."""
    folder = tmp_path_factory.mktemp("evidence")
    evidence = folder / "evidence"
    good = json.loads(record(evidence, "healthy").read_text())
    guest = {**good["target"], "name": "web-1", "level": "L1", "address": None, "host": "healthy", "domain": "web"}
    declared = {**good, "target": guest, "readings": [], "libvirt": None}
    (evidence / "web-1.json").write_text(json.dumps(declared))
    for name, (change, _) in UNUSABLE.items():
        (evidence / f"{name}.json").write_bytes(spoiled(good, name, change))
    (evidence / "a-folder.json").mkdir()
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> SuiteRun:
    return run_suite(f"--evidence={folder}/evidence", report_dir=folder / "reports")


@pytest.mark.parametrize("name", [*UNUSABLE, "a-folder"])
def test_an_unusable_file_is_an_error_of_its_target_that_names_the_file(run: SuiteRun, name: str) -> None:
    start = UNUSABLE.get(name, ("", f"{name}.json cannot be read: "))[1]
    assert run.target(name)["error"].startswith(start)
    assert not run.target(name)["observed"]
    assert set(run.outcomes(name).values()) - {"notapplicable"} == {"error"}


def test_the_healthy_target_is_judged_all_the_same(run: SuiteRun) -> None:
    assert run.status == 6
    assert run.target("healthy")["observed"]
    assert set(run.outcomes("healthy").values()) == {"pass", "notapplicable"}


def test_a_guest_without_an_address_is_judged_from_its_host_alone(run: SuiteRun) -> None:
    assert {name: value for name, value in run.target("web-1").items() if name != "evidence"} == {
        "name": "web-1",
        "level": "L1",
        "host": "healthy",
        "address": None,
        "observed": False,
        "error": None,
        "policy": {"nested": "required", "persistence": "effective", "undeclared": "any"},
        "observed_at": None,
        "incremental": None,
    }
    outcomes = run.outcomes("web-1")
    assert outcomes["L1-CPU-01"] == outcomes["L1-KVM-01"] == "notchecked"
    assert outcomes["DOM-CPU-02"] == "error"
    assert any("has no domain web" in message for message in run.messages("web-1"))


def test_every_file_of_such_a_run_is_valid(run: SuiteRun) -> None:
    assert_valid(run)


def test_two_files_of_one_target_are_refused(folder: Path) -> None:
    twice = folder / "twice"
    good = record(twice, "healthy")
    (twice / "copy.json").write_bytes(good.read_bytes())
    run = run_suite(f"--evidence={twice}", report_dir=folder / "refused")
    assert run.status == 4
    assert "copy.json and healthy.json are both for healthy" in run.errors


def test_a_target_of_which_there_is_no_evidence_is_an_error(folder: Path) -> None:
    inventory = folder / "fleet.yaml"
    inventory.write_text("hosts:\n  healthy: {}\n  forgotten: {}\n")
    record(folder / "partial", "healthy")
    words = [f"--inventory={inventory}", f"--evidence={folder}/partial"]
    run = run_suite(*words, report_dir=folder / "partly")
    assert run.status == 6
    assert run.target("forgotten")["error"] == "--evidence has no file for forgotten"
    assert run.target("healthy")["observed"]


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "nested-kvm-compliance/evidence/2"},
        {"added": True},
        {"readings": [{"source": "id -u", "status": "fine", "text": "0", "exit_status": 0, "link": None}]},
        {"failure": {"kind": "ConnectionFailed", "message": ""}},
        {"observed": "yesterday"},
    ],
)
def test_the_schema_refuses_what_the_suite_refuses(folder: Path, change: dict[str, Any]) -> None:
    good = json.loads((folder / "evidence" / "healthy.json").read_text())
    assert problems("evidence", good) == []
    assert problems("evidence", {**good, **change}) != []
