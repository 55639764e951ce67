"""Which runs make up one fleet, and when what they make up is complete."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.errors import UsageError
from nested_kvm.inventory.shard import FleetShard, fleet_digest
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.results.exit_status import exit_status
from nested_kvm.results.run import ExitStatus, ResultList, Run, Threshold
from nested_kvm.results.run_verdict import RunVerdict, conclude
from nested_kvm.results.scope import NotAsked
from nested_kvm.version import VERSION
from tests.support.made_runs import PASS, STARTED
from tests.support.merging import host, leave, leave_all, merged, on, run_on, shards_on


def refusal(folders: list[Path]) -> str:
    """Why they are not merged."""
    with pytest.raises(UsageError) as raised, merged(folders):
        pass
    return str(raised.value)


def lacking(text: str, *words: object) -> list[object]:
    return [word for word in words if str(word) not in text]


def compliant(*names: str, **more: Any) -> Run:
    run = run_on(*names, exit_status=0, **more)
    run.results = type(run.results)(on(name, PASS) for name in names)  # type: ignore[call-arg]
    return run


def status(run: Run) -> int:
    return exit_status(run, 0, Threshold())


def test_all_shards_make_the_fleet(tmp_path: Path) -> None:
    with merged(leave_all(tmp_path, shards_on(("kvm-a", "kvm-d"), ("kvm-c",), ("kvm-b",)))) as run:
        assert [target.name for target in run.targets] == ["kvm-a", "kvm-b", "kvm-c", "kvm-d"]
        assert (run.complete, run.gaps, run.shard, len(run.results)) == (True, [], None, 4)
        assert (run.version, run.inventory) == (VERSION, "fleet.yaml")
        assert {target.policy for target in run.targets} == {host("x").policy}


def test_the_order_of_the_runs_does_not_matter(tmp_path: Path) -> None:
    folders = leave_all(tmp_path, shards_on(("kvm-a", "kvm-d"), ("kvm-c",)))
    with merged(folders) as run, merged(folders[::-1]) as other:
        assert list(run.results.sorted_by_target()) == list(other.results.sorted_by_target())
        assert run.targets == other.targets


@pytest.mark.parametrize("there", [[0], [0, 2], [2]])
def test_a_missing_shard_is_never_compliant(tmp_path: Path, there: list[int]) -> None:
    parts = shards_on(("kvm-a",), ("kvm-b",), ("kvm-c",))
    for part in parts:
        part.results = compliant(part.targets[0].name).results
    folders = leave_all(tmp_path, parts)
    with merged([folders[number] for number in there]) as run:
        assert not run.complete
        missing = [number for number in (1, 2, 3) if number - 1 not in there]
        assert run.gaps == [f"shard {number} of 3 is missing" for number in missing]
        assert status(run) == 2
    with merged(folders) as run:
        assert status(run) == ExitStatus.COMPLIANT


def test_of_many_missing_shards_some_are_named(tmp_path: Path) -> None:
    part = run_on("kvm-a", shard=FleetShard(1, 1000, fleet_digest(["kvm-a", "others"])))
    with merged([leave(tmp_path / "one", part)]) as run:
        assert run.gaps[:2] == ["shard 2 of 1000 is missing", "shard 3 of 1000 is missing"]
        assert (len(run.gaps), run.gaps[-1]) == (21, "and 979 more shards")


def test_a_shard_of_another_fleet(tmp_path: Path) -> None:
    folders = leave_all(tmp_path, [shards_on(("kvm-a",), ("kvm-b",))[0], shards_on(("kvm-c",), ("kvm-d",))[1]])
    files = [folder / "results.json" for folder in folders]
    assert lacking(refusal(folders), *files, "of another fleet") == []


def test_a_shard_of_another_split(tmp_path: Path) -> None:
    digest = fleet_digest(["kvm-a", "kvm-b"])
    parts = [run_on("kvm-a", shard=FleetShard(1, 2, digest)), run_on("kvm-b", shard=FleetShard(2, 3, digest))]
    folders = leave_all(tmp_path, parts)
    assert lacking(refusal(folders), *folders, "one of 3 shards", "one of 2") == []


def test_the_same_shard_twice(tmp_path: Path) -> None:
    first, second = shards_on(("kvm-a",), ("kvm-b",))
    folders = leave_all(tmp_path, [first, replace(second, shard=first.shard)])
    assert lacking(refusal(folders), *folders, "is shard 1, as is") == []


@pytest.mark.parametrize("number", [0, 1])
def test_one_target_in_two_runs(tmp_path: Path, number: int) -> None:
    """The same run twice, or two runs that share a host."""
    runs = [run_on("kvm-a", "kvm-b"), [run_on("kvm-c", "kvm-b"), run_on("kvm-a", "kvm-b")][number]]
    folders = leave_all(tmp_path, runs)
    assert lacking(refusal(folders), *folders, f"has the target 'kvm-{'ba'[number]}'") == []


def test_shards_that_are_not_the_fleet_that_was_split(tmp_path: Path) -> None:
    first, second = shards_on(("kvm-a",), ("kvm-b",))
    second.targets, second.results = [host("kvm-x")], run_on("kvm-x").results
    assert "the 2 shards do not have the targets that were split" in refusal(leave_all(tmp_path, [first, second]))


def test_a_run_beside_the_shards_is_no_part_of_them(tmp_path: Path) -> None:
    with merged(leave_all(tmp_path, [*shards_on(("kvm-a",), ("kvm-b",)), run_on("lab", inventory="lab.yaml")])) as run:
        assert (run.complete, len(run.targets), run.inventory) == (True, 3, "--merge")


INCOMPLETE: dict[str, tuple[dict[str, Any], bool]] = {
    "interrupted": ({"complete": False, "exit_status": 2}, False),
    "interrupted, with a finding": ({"complete": False, "exit_status": 1}, False),
    "says it is, and ended as interrupted": ({"complete": True, "exit_status": 2}, False),
    "says it is, and broke": ({"complete": True, "exit_status": 3}, False),
    "says it is, and collected nothing": ({"complete": True, "exit_status": 5}, False),
    "complete": ({"complete": True, "exit_status": 0}, True),
    "nothing applied": ({"complete": True, "exit_status": 4}, True),
    **{f"older, {code}": ({"complete": None, "exit_status": code}, code in {0, 1, 6}) for code in range(7)},
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_a_run_that_is_not_complete_leaves_none_complete(tmp_path: Path, name: str) -> None:
    changes, is_complete = INCOMPLETE[name]
    folders = [leave(tmp_path / "good", compliant("kvm-a")), leave(tmp_path / "other", compliant("kvm-b"), **changes)]
    with merged(folders) as run:
        assert run.complete is is_complete
        assert status(run) == (0 if is_complete else 2)
        gap = f"{folders[1] / 'results.json'}: the run ended before everything was evaluated"
        assert run.gaps == ([] if is_complete else [gap])


def test_a_target_that_was_not_observed_counts(tmp_path: Path) -> None:
    run = compliant("kvm-a")
    run.targets = [replace(run.targets[0], observed=False, error="kvm-a: refused")]
    with merged([leave(tmp_path / "1", run), leave(tmp_path / "2", compliant("kvm-b"))]) as merged_run:
        assert status(merged_run) == ExitStatus.NOT_OBSERVED


def test_the_times_are_of_all(tmp_path: Path) -> None:
    early, late = run_on("kvm-a"), run_on("kvm-b")
    late.started = STARTED + timedelta(hours=1)
    late.finished = STARTED + timedelta(hours=2)
    with merged(leave_all(tmp_path, [late, early])) as run:
        assert (run.started, run.finished) == (STARTED, STARTED + timedelta(hours=2))


def test_a_file_of_an_older_version_has_no_policy_and_no_shard(tmp_path: Path) -> None:
    run = run_on("kvm-a")
    run.targets = [replace(run.targets[0], policy=None)]
    with merged([leave(tmp_path / "old", run)]) as made:
        assert made.targets[0].policy is None
        assert made.complete


def test_a_shard_that_was_asked_another_question_is_refused(tmp_path: Path) -> None:
    """Whether an L2 runs says nothing about compliance: merged, such a shard's targets would not be judged."""
    audited, asked = shards_on(("kvm-a",), ("kvm-b",))
    audited.results = ResultList([on("kvm-a", PASS, decides=True)])
    asked.results = ResultList([on("kvm-b", PASS, decides=False)])
    audited.owed, asked.owed = 1, 1
    folders = [leave(tmp_path / "1", audited, exit_status=0), leave(tmp_path / "2", asked, exit_status=0)]
    assert "merge one question" in refusal(folders)
    assert "merge one question" in refusal(folders[::-1])


def test_a_narrowed_shard_leaves_the_fleet_narrowed(tmp_path: Path) -> None:
    """It is not compliant, whatever the others are, and passes no gate."""
    left_out = NotAsked("L0-KVM-04", "kvm-b", "kvm-b", "-k")
    whole, narrowed = shards_on(("kvm-a",), ("kvm-b",))
    whole.results, narrowed.results = compliant("kvm-a").results, compliant("kvm-b").results
    whole.owed, narrowed.owed, narrowed.not_asked = 10, 12, [left_out]
    folders = [leave(tmp_path / "1", whole, exit_status=0), leave(tmp_path / "2", narrowed, exit_status=0)]
    with merged(folders) as run:
        assert (run.owed, run.not_asked, run.gaps, run.is_whole) == (22, [left_out], [], False)
        assert status(run) == 0
        assert exit_status(run, 0, Threshold(gate=True)) == 1
        run.exit_status = 0
        assert conclude(run).verdict is RunVerdict.PARTIAL
        assert json.loads("".join(results_json(run)))["run"]["complete"] is False


def test_when_a_target_was_observed_is_kept(tmp_path: Path) -> None:
    run = run_on("kvm-a")
    run.targets = [replace(run.targets[0], observed_at=STARTED)]
    with merged([leave(tmp_path / "1", run)]) as made:
        assert [each.observed_at for each in made.targets] == [STARTED]
