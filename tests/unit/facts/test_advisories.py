"""Advisory files: what is packaged, what a file adds or replaces, and a clear error for every bad one."""

import json
from pathlib import Path

import pytest

from nested_kvm.errors import UsageError
from nested_kvm.facts.advisories.advisory_file import (
    advisories_schema,
    load_advisories,
    packaged_advisories,
)

ENTRY = """\
dated: 2026-11-01
advisories:
  - id: CVE-2026-53359
    title: "KVM: x86: another subject"
    effect: escape
    needs_nesting: false
    vendor: intel
    affected_since: "2.6.36"
    fixed: [6.1.999]
    mainline: "9.9"
    published: 2026-07-04
    sources: [https://example.net/advisory]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "advisories.yaml"
    file.write_text(text)
    return file


def test_the_packaged_file_names_the_series_of_2026() -> None:
    found = {each.id for each in packaged_advisories().entries}
    assert found >= {"CVE-2026-46113", "CVE-2026-53359", "CVE-2026-64561", "CVE-2026-64562", "CVE-2026-80726"}
    assert all(each.sources for each in packaged_advisories().entries)


def test_a_file_replaces_an_entry_and_adds_others(tmp_path: Path) -> None:
    both = load_advisories(written(tmp_path, ENTRY + ENTRY.partition("advisories:\n")[2].replace("53359", "99999")))
    replaced = both.named("CVE-2026-53359")
    assert replaced is not None
    assert not replaced.needs_nesting
    assert both.named("CVE-2026-99999") is not None
    assert both.named("CVE-2026-64561") == packaged_advisories().named("CVE-2026-64561")
    assert str(tmp_path) in both.source


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("vendor: intel", "vendr: intel", "unknown key (did you mean `vendor`?)"),
        ("dated: 2026-11-01\n", "", "dated: is missing"),
        ("2026-11-01", "2026-02-30", "there is no such day"),
        ("2026-11-01", "9999-01-01", "is in the future"),
        ("[6.1.999]", "[6.1.x]", "is not an upstream version"),
        ("[6.1.999]", "[6.1]", "write the version in quotes"),
        ("[6.1.999]", "[6.1.7, 6.1.8]", "names two releases of one series"),
        ("[6.1.999]", '["2.6.20"]', "before 2.6.36, with which the fault begins"),
        ("[6.1.999]", "[6.1.999, 9.9.1]", "names 9.9.1, and 9.9 had the fix from its beginning"),
        ("[6.1.999]", '[6.1.999]\n    unsettled: ["6.1"]', "names 6.1, of which a release is in `fixed`"),
        ("[6.1.999]", "[6.1.99999999999999999999999]", "is not an upstream version"),
        ("id: CVE-2026-53359", "id: januscape", "is not an id of the form CVE-2026-12345"),
        ("needs_nesting: false", "needs_nesting: maybe", "needs_nesting"),
        ("effect: escape", "effect: terrible", "effect"),
        ("sources: [https://example.net/advisory]", "sources: []", "sources: is empty"),
        ("another subject", "an\\u001bother subject", "visible characters"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in ENTRY
    file = written(tmp_path, ENTRY.replace(old, new))
    with pytest.raises(UsageError) as refused:
        load_advisories(file)
    assert said in str(refused.value)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "advisories: 7", "\x00", "a: &a [*a]"])
def test_what_is_no_advisory_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        load_advisories(written(tmp_path, text))


def test_an_id_may_be_there_once(tmp_path: Path) -> None:
    twice = ENTRY + ENTRY.partition("advisories:\n")[2]
    with pytest.raises(UsageError, match="CVE-2026-53359: is there twice"):
        load_advisories(written(tmp_path, twice))


def test_the_schema_in_the_package_is_the_codes() -> None:
    file = Path(__file__).parents[3] / "nested_kvm" / "schema" / "advisories-1.schema.json"
    assert json.loads(file.read_text()) == advisories_schema()
