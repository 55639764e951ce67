"""The published schemas say what the code can write, word for word, and refuse everything else."""

import json
from copy import deepcopy
from typing import Any

import pytest

from nested_kvm.evidence.reading import Status
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.control import Severity
from nested_kvm.model.link import LinkName
from nested_kvm.model.policy import Nested, Persistence, Undeclared
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.diagnosis import LinkState
from nested_kvm.results.waiver import WaiverState
from tests.support.recorded import record
from tests.support.schema import assert_valid, problems, validator
from tests.support.suite import SuiteRun, run_suite

WAIVER = {
    "control": "L0-*",
    "target": "*",
    "subject": None,
    "reason": "known",
    "approver": "ops",
    "expires": "2026-12-31",
    "source": "waivers.yaml:1",
}


def enumerations(schema: Any) -> list[list[Any]]:
    """Return every `enum` of a schema, sorted."""
    if isinstance(schema, list):
        return [found for item in schema for found in enumerations(item)]
    if not isinstance(schema, dict):
        return []
    own = [sorted(schema["enum"], key=str)] if "enum" in schema else []
    return own + [found for item in schema.values() for found in enumerations(item)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("results", list(Outcome)),
        ("results", [str(severity) for severity in Severity]),
        ("results", list(TargetLevel)),
        ("results", list(Answer)),
        ("results", list(LinkName)),
        ("results", list(LinkState)),
        ("results", list(WaiverState)),
        ("evidence", list(Status)),
        ("evidence", list(TargetLevel)),
        ("evidence", list(Nested)),
        ("evidence", list(Persistence)),
        ("evidence", list(Undeclared)),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_schema_has_exactly_the_codes_words(name: str, words: list[str]) -> None:
    assert sorted(str(word) for word in words) in enumerations(validator(name).schema)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    """A finding on a host, and a guest of it: so that every part of the document is there."""
    folder = tmp_path_factory.mktemp("schema")
    good = json.loads(record(folder / "evidence", "kvm-a", refusal="Connection refused").read_text())
    guest = {**good["target"], "name": "ci-1", "level": "L1", "address": None, "host": "kvm-a", "domain": "ci-1"}
    declared = {**good, "target": guest, "readings": [], "libvirt": None}
    (folder / "evidence" / "ci-1.json").write_text(json.dumps(declared))
    return run_suite(f"--evidence={folder}/evidence", report_dir=folder / "reports")


def test_every_part_of_a_run_is_valid(run: SuiteRun) -> None:
    assert_valid(run)
    assert all(run.document[part] for part in ("targets", "results", "diagnoses"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("added",), 1),
        (("schema",), "nested-kvm-compliance/results/2"),
        (("run", "added"), 1),
        (("run", "started"), "2026-01-01 00:00:00"),
        (("run", "exit_status"), 7),
        (("targets", 0, "level"), "L2"),
        (("targets", 0, "error"), "observed, and yet not"),
        (("results", 0, "outcome"), "passed"),
        (("results", 0, "severity"), "urgent"),
        (("results", 0, "control"), "L3-CPU-01"),
        (("results", 0, "message"), ""),
        (("results", 0, "drift"), "old"),
        (("results", 0, "waiver"), "accepted"),
        (("results", 0, "evidence"), [{"source": "/proc/cpuinfo"}]),
        (("diagnoses", 0, "can_nest"), True),
        (("diagnoses", 0, "broken_link"), "l0-cable"),
        (("diagnoses", 0, "links"), [{"link": "l0-cpu", "state": "fine", "text": ""}]),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_the_schema_of_results_is_strict(run: SuiteRun, path: tuple[str | int, ...], value: Any) -> None:
    document: Any = deepcopy(run.document)
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert problems("results", document) != []


@pytest.mark.parametrize(("outcome", "is_allowed"), [("pass", False), ("fail", True), ("error", False)])
def test_only_a_finding_has_commands_and_may_be_waived(run: SuiteRun, outcome: str, *, is_allowed: bool) -> None:
    document: Any = deepcopy(run.document)
    result = document["results"][0]
    result.update(outcome=outcome, cause=None, remediation=["true"], waiver=WAIVER)
    assert (problems("results", document) == []) is is_allowed
