"""The published schemas, and whether a run's files keep to them."""

import json
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.suite import SuiteRun


def validator(name: str) -> Draft202012Validator:
    schema = json.loads(files("nested_kvm").joinpath(f"schema/{name}-1.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def problems(name: str, document: Any) -> list[str]:
    """Return where a document breaks its schema, and how."""
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(document)]


def assert_valid(run: SuiteRun) -> None:
    """Hold `results.json` and every evidence file of a run to their schemas."""
    assert problems("results", run.document) == []
    bundles = sorted((run.reports / "evidence").iterdir())
    assert bundles
    assert {path.name: problems("evidence", json.loads(path.read_text())) for path in bundles} == {
        path.name: [] for path in bundles
    }
