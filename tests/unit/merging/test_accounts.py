"""What several runs say of waivers and of a baseline, brought together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.errors import UsageError
from nested_kvm.results.drift import DriftSummary, PastFinding
from nested_kvm.results.run import Run
from nested_kvm.results.waiver import WaiverState, WaiverUse
from tests.support.made_runs import PAST, STARTED, WAIVER
from tests.support.merging import leave_all, merged, run_on

USED, EXPIRED, UNJUDGED = WaiverState.USED, WaiverState.EXPIRED, WaiverState.UNJUDGED
NOTHING, PASSES = WaiverState.MATCHES_NOTHING, WaiverState.CONTROL_PASSES


@pytest.mark.parametrize(
    ("states", "together"),
    [
        ([USED, UNJUDGED], USED),
        ([EXPIRED, USED], USED),
        ([NOTHING, EXPIRED], EXPIRED),
        ([UNJUDGED, EXPIRED], EXPIRED),
        ([NOTHING, NOTHING], NOTHING),
        ([NOTHING, UNJUDGED], UNJUDGED),
        ([PASSES, UNJUDGED], UNJUDGED),
        ([PASSES, NOTHING], PASSES),
        ([PASSES, PASSES], PASSES),
        ([NOTHING, None], UNJUDGED),
        ([USED, None], USED),
    ],
)
def test_what_became_of_a_waiver(tmp_path: Path, states: list[WaiverState | None], together: WaiverState) -> None:
    """None: a run that had no such waiver."""
    runs = [
        run_on(f"kvm-{number}", waivers=[] if state is None else [WaiverUse(WAIVER, state, number + 1)])
        for number, state in enumerate(states)
    ]
    with merged(leave_all(tmp_path, runs)) as run:
        findings = sum(number + 1 for number, state in enumerate(states) if state is not None)
        assert run.waivers == [WaiverUse(WAIVER, together, findings)]


def test_waivers_that_differ_stay_apart(tmp_path: Path) -> None:
    other = replace(WAIVER, approver="somebody else")
    runs = [run_on(name, waivers=[WaiverUse(each, USED, 1)]) for name, each in (("a", WAIVER), ("b", other))]
    with merged(leave_all(tmp_path, runs)) as run:
        assert run.waivers == [WaiverUse(WAIVER, USED, 1), WaiverUse(other, USED, 1)]


def past(target: str, control: str = "L0-PER-01") -> PastFinding:
    return replace(PAST, target=target, subject=target, control=control)


def compared(name: str, **more: Any) -> Run:
    return run_on(
        name, drift=DriftSummary(**{"baseline": "old.json", "baseline_id": "id", "baseline_started": STARTED, **more})
    )


def ended(drift: DriftSummary | None) -> Mapping[str, list[str]]:
    assert drift is not None
    parts: Mapping[str, Sequence[PastFinding]] = {"fixed": drift.fixed, "gone": drift.gone, "unjudged": drift.unjudged}
    return {word: [finding.target for finding in part] for word, part in parts.items()}


def test_each_run_speaks_for_its_own_targets(tmp_path: Path) -> None:
    """A shard says of what others hold that it was not judged; of its own, that it persists, by saying nothing."""
    a, b, persists, hidden = past("kvm-a"), past("kvm-b"), past("kvm-b", "L0-SEC-01"), past("kvm-a", "L0-SEC-02")
    first = compared("kvm-a", new=2, persisting=1, fixed=[a], unjudged=[b, persists, hidden])
    second = compared("kvm-b", new=1, persisting=3, gone=[b], unjudged=[a, hidden])
    with merged(leave_all(tmp_path, [first, second])) as run:
        assert run.drift is not None
        assert (run.drift.new, run.drift.persisting, run.drift.baseline_id) == (3, 4, "id")
        assert (run.drift.fixed, run.drift.gone, run.drift.unjudged) == ((a,), (b,), (hidden,))


def test_a_finding_of_a_missing_shard_is_not_judged(tmp_path: Path) -> None:
    runs = [compared(name, unjudged=[past("kvm-z"), past("kvm-z")]) for name in ("kvm-a", "kvm-b")]
    with merged(leave_all(tmp_path, runs)) as run:
        assert ended(run.drift) == {"fixed": [], "gone": [], "unjudged": ["kvm-z", "kvm-z"]}


def test_a_target_that_no_fleet_has_is_gone_once(tmp_path: Path) -> None:
    runs = [compared(name, gone=[past("kvm-z")], vanished=["kvm-z"]) for name in ("kvm-a", "kvm-b")]
    with merged(leave_all(tmp_path, runs)) as run:
        assert ended(run.drift) == {"fixed": [], "gone": ["kvm-z"], "unjudged": []}
        assert run.drift is not None
        assert run.drift.vanished == ("kvm-z",)


def test_a_target_that_one_fleet_still_has_is_neither_gone_nor_vanished(tmp_path: Path) -> None:
    without = compared("kvm-a", gone=[past("kvm-z")], vanished=["kvm-z", "kvm-y"])
    having = compared("kvm-b", unjudged=[past("kvm-z")], vanished=["kvm-y"])
    with merged(leave_all(tmp_path, [without, having])) as run:
        assert ended(run.drift) == {"fixed": [], "gone": [], "unjudged": ["kvm-z"]}
        assert run.drift is not None
        assert run.drift.vanished == ("kvm-y",)


def test_what_another_run_audits_is_not_gone(tmp_path: Path) -> None:
    without = compared("kvm-a", gone=[past("kvm-b")], vanished=["kvm-b"])
    with merged(leave_all(tmp_path, [without, compared("kvm-b")])) as run:
        assert ended(run.drift) == {"fixed": [], "gone": [], "unjudged": []}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("other", [run_on("kvm-b"), compared("kvm-b", baseline_id="another")])
def test_all_or_none_compare_with_one_baseline(tmp_path: Path, other: Run, *, turned: bool) -> None:
    folders = leave_all(tmp_path, [compared("kvm-a"), other])
    order = folders[::-1] if turned else folders
    with pytest.raises(UsageError, match="give all runs the same --baseline, or none") as raised, merged(order):
        pass
    assert [str(each) for each in folders if str(each / "results.json") not in str(raised.value)] == []
