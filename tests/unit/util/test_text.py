"""Counts with their noun, and lists cut short."""

import pytest

from nested_kvm.util.text import first_of, plural


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries")], ids=["none", "one", "two"]
)
def test_a_noun_follows_its_count(count: int, expected: str) -> None:
    assert plural(count, "entry", "entries") == expected
    assert plural(count, "line") == f"{count} line{'' if count == 1 else 's'}"


def test_a_list_that_fits_is_whole() -> None:
    assert first_of(["a", "b"], 2, "host") == ["a", "b"]


def test_a_list_that_is_cut_gives_the_number_left_out() -> None:
    assert first_of(["a", "b", "c"], 2) == ["a", "b", "and 1 more"]
    assert first_of(["a", "b", "c"], 2, "host") == ["a", "b", "and 1 more host"]
    assert first_of(["a", "b", "c"], 1, "host") == ["a", "and 2 more hosts"]
