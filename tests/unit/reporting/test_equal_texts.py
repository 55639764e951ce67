"""The texts of reports that are made once, or field by field, are those that the libraries make."""

import csv
import json
from dataclasses import asdict
from datetime import date
from io import StringIO
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence
from nested_kvm.reporting.formats import csv_tables, junit
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.results.exposure import CveExposure, HostExposure
from tests.support.made_runs import PASS, run_of

PROOF = Evidence("/proc/cmdline", 'a "b"')


@given(cells=st.lists(st.text(max_size=1100), min_size=1, max_size=4))
def test_a_row_is_read_back_as_it_was(cells: list[str]) -> None:
    inert = [csv_tables._inert(each) for each in cells]
    first, second = csv_tables._row(cells), csv_tables._row(cells)
    assert first == second
    assert list(csv.reader(StringIO(first, newline=""))) == [inert]


@given(value=st.text(alphabet=st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=1100))
def test_an_attribute_is_quoted_as_the_xml_module_does(value: str) -> None:
    expected = f" name={quoteattr(junit._legal(value))}"
    assert junit._attribute("name", value) == junit._attribute("name", value) == expected


@pytest.mark.parametrize("proof", [None, PROOF])
def test_exposures_have_every_field(proof: Evidence | None) -> None:
    cve = CveExposure("CVE-1", "Name", date(2026, 1, 2), Answer.NO, Answer.UNKNOWN, "why", proof)
    host = HostExposure("kvm-a", "6.1", "open", (cve,), ("ci-1",), device_is_open=True, installed_fix="6.2")
    (found,) = json.loads("".join(results_json(run_of(PASS, exposures=[host]))))["exposures"]
    expected = {**asdict(host), "cves": [{**asdict(cve), "published": "2026-01-02"}], "state": "undecided"}
    assert list(found.items()) == list(json.loads(json.dumps(expected)).items())
    assert list(found["cves"][0]) == list(asdict(cve))
