"""The JSON Schema of results.json is the one that reading it is made of."""

import json
from importlib.resources import files

from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.results.schema_file import ResultsFile, json_schema
from tests.support.made_runs import run_with_everything
from tests.support.schema import problems


def test_the_json_schema_is_fresh() -> None:
    """`python -m nested_kvm.results.schema_file > nested_kvm/schema/results-1.schema.json` makes it so."""
    assert files("nested_kvm").joinpath("schema/results-1.schema.json").read_text() == json_schema()


def test_what_is_written_is_what_is_read() -> None:
    text = "".join(results_json(run_with_everything()))
    assert problems("results", json.loads(text)) == []
    read = ResultsFile.model_validate_json(text)
    assert {row.result() for row in read.results} == set(run_with_everything().results.sorted_by_target())
    assert [row.use() for row in read.waivers] == run_with_everything().waivers
