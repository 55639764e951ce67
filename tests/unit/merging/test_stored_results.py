"""Results on disk say what results in memory say."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import UsageError
from nested_kvm.merging.stored_results import StoredResults
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.results.drift import Drift
from nested_kvm.results.run import Result, ResultList
from nested_kvm.results.waiver import Waiver
from tests.support.made_runs import FAIL, PASS

pytestmark = pytest.mark.slow

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
WAIVERS = st.builds(
    Waiver,
    *(TEXT, TEXT, st.none() | TEXT, TEXT, TEXT, st.none() | st.dates(date(2020, 1, 1)), TEXT),
    accepts_unknown=st.booleans(),
    until_fixed=st.booleans(),
    advisories=st.none() | st.lists(TEXT, min_size=1, max_size=2).map(tuple),
)
RESULTS = st.builds(
    Result,
    control=st.sampled_from(["L0-CPU-01", "L0-KVM-02", "DOM-CPU-01"]),
    target=TEXT,
    subject=TEXT,
    outcome=st.sampled_from(Outcome),
    severity=st.sampled_from(Severity),
    title=st.just("a title"),
    message=TEXT,
    cause=st.none() | st.sampled_from(Cause),
    evidence=st.lists(st.builds(Evidence, TEXT, TEXT), max_size=2).map(tuple),
    remediation=st.lists(TEXT, max_size=2).map(tuple),
    waiver=st.none() | WAIVERS,
    drift=st.none() | st.sampled_from(Drift),
)


def stored(results: list[Result]) -> StoredResults:
    kept = StoredResults()
    for result in results:
        kept.add(result)
    kept.seal()
    return kept


@given(st.lists(RESULTS, max_size=20))
def test_they_are_the_same_as_in_memory(results: list[Result]) -> None:
    kept, known = stored(results), ResultList(results)
    for _ in range(2):
        assert list(kept.sorted_by_target()) == list(known.sorted_by_target())
        assert list(kept.by_control()) == list(known.by_control())
    assert {each: list(kept.with_outcome(each)) for each in Outcome} == {
        each: list(known.with_outcome(each)) for each in Outcome
    }
    assert {each: kept.count(each) for each in Outcome} == {each: known.count(each) for each in Outcome}
    assert (len(kept), kept.titles()) == (len(known), known.titles())
    kept.close()


def test_two_readers_do_not_disturb_each_other() -> None:
    kept = stored([replace(PASS, target=name, subject=name) for name in "abc"])
    one, other = kept.sorted_by_target(), kept.by_control()
    assert [(next(one).target, next(other).target) for _ in "abc"] == [("a", "a"), ("b", "b"), ("c", "c")]
    kept.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_them_has_a_name_on_the_disk(place: Path) -> None:
    """So nothing can be left, not even by a process that is killed."""
    kept = stored([FAIL, PASS] * 2000)
    assert list(place.iterdir()) == []
    ((_, _, file),) = kept._database.execute("PRAGMA database_list")
    assert Path(file).is_relative_to(place)
    kept.close()


def keep(kept: StoredResults, times: int) -> None:
    for _ in range(times):
        kept.add(FAIL)


@pytest.mark.usefixtures("place")
def test_a_full_disk_is_told_of() -> None:
    kept = StoredResults()
    kept._database.execute("PRAGMA max_page_count = 20")
    with pytest.raises(UsageError, match=r"results cannot be kept in .*: database or disk is full: make room there"):
        keep(kept, 10_000)
    kept.close()
