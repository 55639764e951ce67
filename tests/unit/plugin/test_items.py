"""Items are told apart by their ids, whatever the names of targets are."""

from hypothesis import example, given
from hypothesis import strategies as st

from nested_kvm.plugin.items import distinct


@given(st.lists(st.sampled_from(["a", "a~2", "a~2~2", "b", ""])))
@example(["a", "a", "b", "a", "a~2", "a"])
def test_no_two_items_share_an_id(ids: list[str]) -> None:
    found = list(distinct(ids))
    assert len(set(found)) == len(found) == len(ids)
    assert all(new.startswith(old) for new, old in zip(found, ids, strict=True))


@given(st.lists(st.text(max_size=3), unique=True))
def test_what_is_distinct_already_stays_as_it_is(ids: list[str]) -> None:
    assert list(distinct(ids)) == ids
