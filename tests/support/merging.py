"""Runs as files, and what merging them comes to."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nested_kvm.inventory.shard import FleetShard, fleet_digest
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.merging.merge import merged_run
from nested_kvm.merging.stored_results import StoredResults
from nested_kvm.model.policy import Policy
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.results.run import Result, ResultList, Run, TargetResult
from tests.support.made_runs import FAIL, PASS, run_of


def host(name: str) -> TargetResult:
    """Return a host that was observed."""
    return TargetResult(
        name=name, level=TargetLevel.L0, host=None, address=f"ssh://{name}", observed=True, error=None, policy=Policy()
    )


def on(target: str, result: Result, **more: Any) -> Result:
    """Return the same result of another target."""
    return replace(result, target=target, subject=target, **more)


def run_on(*names: str, **more: Any) -> Run:
    """Return a run of these hosts; the first of them has a finding."""
    results = [on(name, FAIL if number == 0 else PASS) for number, name in enumerate(names)]
    run = run_of(status=1)
    run.targets, run.results = [host(name) for name in names], ResultList(results)
    for key, value in more.items():
        setattr(run, key, value)
    return run


def shards_on(*parts: tuple[str, ...]) -> list[Run]:
    """Return one run for each part of a fleet."""
    digest = fleet_digest(name for part in parts for name in part)
    return [run_on(*part, shard=FleetShard(number, len(parts), digest)) for number, part in enumerate(parts, 1)]


def leave(folder: Path, run: Run, **changes: Any) -> Path:
    """Write a run's results.json, with other values in its `run`, and return its folder."""
    document = json.loads("".join(results_json(run)))
    document["run"].update(changes)
    return leave_document(folder, document)


def leave_document(folder: Path, document: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(document))
    return folder


def leave_all(folder: Path, runs: list[Run]) -> list[Path]:
    return [leave(folder / str(number), run) for number, run in enumerate(runs, 1)]


@contextmanager
def merged(folders: list[Path]) -> Iterator[Run]:
    """Make one run of several; its results are there as long as the context is."""
    results = StoredResults()
    try:
        yield merged_run(folders, results, lambda _read: None)
    finally:
        results.close()
