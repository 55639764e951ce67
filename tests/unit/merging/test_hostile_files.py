"""Whatever is not exactly what a run writes ends the merge, and the message names the file and the place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ijson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nested_kvm.errors import UsageError
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.results import reader as results_file
from nested_kvm.results.drift import DriftSummary
from nested_kvm.results.waiver import WaiverState, WaiverUse
from tests.support.made_runs import PAST, STARTED, WAIVER
from tests.support.merging import leave_document, merged, run_on

pytestmark = pytest.mark.slow

Change = Callable[[dict[str, Any]], object]


def document() -> dict[str, Any]:
    run = run_on("kvm-a", "kvm-b", waivers=[WaiverUse(WAIVER, WaiverState.USED, 1)])
    run.drift = DriftSummary("old.json", "id", STARTED, gone=[PAST])
    found: dict[str, Any] = json.loads("".join(results_json(run)))
    return found


def refusal(file: Path) -> str:
    """What a merge of this file and a good one says."""
    good = leave_document(file.parent / "good", document_of("kvm-z"))
    with pytest.raises(UsageError) as raised, merged([good, file]):
        pass
    assert str(file) in str(raised.value)
    return str(raised.value).removeprefix(f"--merge: {file}: ")


def document_of(name: str) -> dict[str, Any]:
    run = run_on(name)
    run.drift = DriftSummary("old.json", "id", STARTED)
    found: dict[str, Any] = json.loads("".join(results_json(run)))
    return found


LIMIT = 1_500_000
BYTES = {
    "empty": (b"", "its beginning: is not valid JSON"),
    "no JSON": (b"\x7fELF", "its beginning: is not valid JSON"),
    "a list": (b"[]", "is not a JSON object"),
    "a number": (b"1", "is not a JSON object"),
    "a deep list": (b"[" * 100_000, "is not a JSON object"),
    "a deep object": (b'{"schema":' * 100_000, "schema: is nested too deeply"),
    "a long number": (b'{"schema":' + b"9" * 10_000 + b"}", "schema: is not valid JSON: parse error: integer overflow"),
    "a large number": (b'{"schema":1e999999}', "schema: is not valid JSON"),
    "not a number": (b'{"schema":NaN}', "schema: is not valid JSON"),
    "a long text": (b'{"schema":"' + b"x" * 4 * LIMIT + b'"}', "has a text of more than "),
    "a long row": (b'{"schema":["' + b'x","' * LIMIT + b'"]}', "schema: has more than "),
    "blanks": (b" " * 4 * LIMIT, "has a text of more than "),
    "bad UTF-8": (b'{"schema":"\xff"}', "schema: is not valid JSON"),
    "another schema": (b'{"schema":"another/1"}', "is of schema 'another/1', not 'nested-kvm-compliance/results/1'"),
    "a later schema": (
        b'{"schema":"nested-kvm-compliance/results/2"}',
        "is of schema 'nested-kvm-compliance/results/2'",
    ),
    "no schema": (b'{"run":{}}', "in what a run writes schema stands before run"),
    "nothing in it": (b"{}", "schema: is missing"),
    "a command to the terminal": (b'{"\\u001b[2J":1}', "schema stands before [2J"),
}


@pytest.mark.parametrize("name", BYTES)
def test_what_is_no_results_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(results_file, "TEXT_LIMIT", LIMIT)
    monkeypatch.setattr(results_file, "ROW_LIMIT", LIMIT)
    content, reason = BYTES[name]
    file = tmp_path / "results.json"
    file.write_bytes(content)
    said = refusal(file)
    assert reason in said
    assert len(said) < 500
    assert said.isprintable()


DIAGNOSIS: dict[str, Any] = {
    "target": "ci-1",
    "host": None,
    "can_nest": "yes",
    "broken_link": None,
    "cause": None,
    "explanation": "Every link was seen to hold.",
    "remediation": [],
    "warnings": [],
    "links": [{"link": "l0-cpu", "state": "holds", "text": ""}],
}
CHANGES: dict[str, tuple[Change, str]] = {
    "a new key": (lambda d: d.update(added=1), "added: is not a key of"),
    "a new key of the run": (lambda d: d["run"].update(added=1), "run.added: Extra inputs"),
    "no results": (lambda d: d.pop("results"), "results: is missing"),
    "no run": (lambda d: d.pop("run"), "run stands before targets"),
    "results that are none": (lambda d: d.update(results={}), "results: is not a list"),
    "drift that is none": (lambda d: d.update(drift=1), "drift: Input should be"),
    "a time that is none": (lambda d: d["run"].update(started="2026-02-30T00:00:00Z"), "run.started: "),
    "no end": (lambda d: d["run"].update(finished=None), "run.finished: "),
    "a strange status": (lambda d: d["run"].update(exit_status=7), "run.exit_status: "),
    "a status as text": (lambda d: d["run"].update(exit_status="1"), "run.exit_status: "),
    "a status that is true": (lambda d: d["run"].update(exit_status=True), "run.exit_status: "),
    "complete as text": (lambda d: d["run"].update(complete="false"), "run.complete: "),
    "a shard beyond": (lambda d: d["run"].update(shard={"number": 3, "of": 2, "fleet": "0" * 64}), "no shard 3 of 2"),
    "a shard of no fleet": (lambda d: d["run"].update(shard={"number": 1, "of": 2}), "run.shard.fleet: "),
    "a target without a name": (lambda d: d["targets"][1].update(name=""), "targets.1.name: "),
    "a target of a long name": (lambda d: d["targets"][1].update(name="x" * 2000), "targets.1.name: "),
    "a target that was not looked at": (lambda d: d["targets"][0].update(observed=False), "targets.0: "),
    "a target twice": (lambda d: d["targets"].append(d["targets"][0]), "has the target 'kvm-a', twice"),
    "a strange policy": (lambda d: d["targets"][0]["policy"].update(nested="maybe"), "targets.0.policy.nested: "),
    "another's result": (lambda d: d["results"][0].update(target="kvm-c"), "results.0.target: 'kvm-c' is not one of"),
    "a strange outcome": (lambda d: d["results"][1].update(outcome="passed"), "results.1.outcome: "),
    "a severity as number": (lambda d: d["results"][1].update(severity=1), "results.1.severity: "),
    "a cause of the future": (lambda d: d["results"][0].update(cause="later"), "not a cause that this version knows"),
    "markup for a control": (lambda d: d["results"][0].update(control="SITE-<b>"), "results.0.control: "),
    "a control of two lines": (lambda d: d["results"][0].update(control="L0-CPU-01\n"), "results.0.control: "),
    "a waived pass": (
        lambda d: d["results"][1].update(waiver=d["waivers"][0]["waiver"]),
        "only a finding has a waiver",
    ),
    "a pass to mend": (
        lambda d: d["results"][1].update(remediation=["rm"]),
        "only a finding has a waiver or a remediation",
    ),
    "a pass with a cause": (lambda d: d["results"][1].update(cause="nested-off"), "only a finding has a cause"),
    "evidence that is none": (lambda d: d["results"][0].update(evidence=[1]), "results.0.evidence.0: "),
    "a waiver of two lines": (lambda d: d["waivers"][0]["waiver"].update(reason="a\nb"), "waivers.0.waiver.reason: "),
    "a waiver of no day": (lambda d: d["waivers"][0]["waiver"].update(expires="soon"), "waivers.0.waiver.expires: "),
    "fewer than no findings": (lambda d: d["waivers"][0].update(findings=-1), "waivers.0.findings: "),
    "drift that counts down": (lambda d: d["drift"].update(new=-1), "drift.new: "),
    "drift without a baseline": (lambda d: d["drift"].pop("baseline"), "drift.baseline: "),
    "a past that is none": (lambda d: d["drift"].update(gone=["x"]), "drift.gone.0: "),
    "a vanished one that is none": (lambda d: d["drift"].update(vanished=[1]), "drift.vanished.0.name: "),
    "a guest that is not there": (
        lambda d: d["diagnoses"].append(DIAGNOSIS),
        "'ci-1' is not one of",
    ),
    "two diagnoses": (
        lambda d: d["diagnoses"].extend([{**DIAGNOSIS, "target": "kvm-a"}] * 2),
        "diagnoses.1.target: there are two",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_run_does_not_write(tmp_path: Path, name: str) -> None:
    changed = document()
    change, reason = CHANGES[name]
    change(changed)
    assert reason in refusal(leave_document(tmp_path / "bad", changed) / "results.json")


def test_the_document_itself_is_taken(tmp_path: Path) -> None:
    with merged([leave_document(tmp_path / "one", document())]) as run:
        assert len(run.results) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"outcome": "fail",', '"outcome": "fail", "outcome": "pass",'),
        ('"results": [', '"results": [], "results": ['),
        ('"exit_status": 1,', '"exit_status": 1, "exit_status": 0,'),
    ],
)
def test_no_key_is_there_twice(tmp_path: Path, old: str, new: str) -> None:
    """What one reader takes for a finding another one takes for a pass."""
    text = json.dumps(document())
    assert text.count(old) == 1
    file = tmp_path / "results.json"
    file.write_text(text.replace(old, new))
    assert "twice" in refusal(file)


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    text = "".join(results_json(run_on("kvm-a")))
    file = tmp_path / "results.json"
    for length in range(len(text.rstrip())):
        file.write_text(text[:length])
        with pytest.raises(UsageError, match=r"results\.json: "), merged([file]):
            pass


def test_nothing_may_stand_behind_it(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text("".join(results_json(run_on("kvm-a"))) + "{}")
    with pytest.raises(UsageError, match="trailing garbage"), merged([file]):
        pass


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.integers(0, 5000), st.integers(0, 40), st.binary(max_size=8))
def test_no_bytes_lead_to_anything_else(tmp_path: Path, place: int, cut: int, put: bytes) -> None:
    data = json.dumps(document()).encode()
    file = tmp_path / "results.json"
    file.write_bytes(data[: place % len(data)] + put + data[place % len(data) + cut :])
    refusals = [f"--merge: {file}: "]
    try:
        with merged([file]) as run:
            assert len(list(run.results.sorted_by_target())) == len(run.results)
    except UsageError as error:
        refusals.append(str(error))
    assert refusals[-1].startswith(refusals[0])


@pytest.mark.parametrize("name", ["missing", "folder", "device"])
def test_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        (path / "results.json").mkdir(parents=True)
    if name == "device":
        path = Path("/dev/zero")
    with (
        pytest.raises(UsageError, match=r"No such file|is not a file: give the folder of a run") as raised,
        merged([path]),
    ):
        pass
    assert str(path) in str(raised.value)


def test_a_target_that_says_as_much_as_it_can_keeps_no_fleet_from_being_merged(tmp_path: Path) -> None:
    """Four MiB of an answer, of which each letter is escaped."""
    changed = document()
    changed["results"][0]["evidence"] = [{"source": "/etc/modprobe.d/x.conf:1", "text": "\x7f\u202e" * 2 * 1024 * 1024}]
    with merged([leave_document(tmp_path / "long", changed)]) as run:
        assert (
            max(len(item.text) for each in run.results.sorted_by_target() for item in each.evidence) == 4 * 1024 * 1024
        )


def test_there_may_be_only_so_many_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nested_kvm.merging.merge._TARGETS", 2)
    folders = [leave_document(tmp_path / name, document_of(name)) for name in "abc"]
    with pytest.raises(UsageError, match=r"c/results\.json: targets\.0: these runs have more than 2 targets"):
        merge_all(folders)


def merge_all(folders: list[Path]) -> None:
    with merged(folders):
        pass


@pytest.mark.parametrize("name", [name for name in CHANGES if "of the run" in name or "control" in name])
def test_a_reader_without_the_c_library_refuses_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(ijson, "basic_parse", ijson.get_backend("python").basic_parse)
    test_what_a_run_does_not_write(tmp_path, name)
    surrogate = document()
    surrogate["results"][0]["message"] = "\udc80"
    assert "results.0.message: " in refusal(leave_document(tmp_path / "half", surrogate) / "results.json")
