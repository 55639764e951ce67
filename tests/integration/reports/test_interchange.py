"""The tables and the OCSF findings, read by what reads them, with names that try to be formulas and markup."""

import csv
import json
from dataclasses import replace
from functools import cache
from io import StringIO
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from nested_kvm.model.control import Severity
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.formats.csv_tables import problems_csv, results_csv
from nested_kvm.reporting.formats.ocsf import ocsf_json
from nested_kvm.results.problems import ref_of
from nested_kvm.results.run import INCOMPLETE, ResultList, Run, TargetResult
from tests.support.made_runs import FAIL, PASS, TARGETS, WAIVER, run_of

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "\uff20x", "=cmd|' /C x'!A0"]
FIRST = tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r")
HOSTILE = '=HYPERLINK("http://x")\x1b[31m\ud800\u202e\n=2;=3,"=4'


def run() -> Run:
    """Every outcome, a waived finding, and hostile names in every text."""
    bad = replace(
        FAIL, target=HOSTILE, subject=HOSTILE, title=HOSTILE, message=HOSTILE, evidence=(Evidence(HOSTILE, HOSTILE),)
    )
    others = [replace(PASS, control=f"L0-X-0{number}", outcome=each) for number, each in enumerate(Outcome)]
    waived = replace(FAIL, target="ci-1", subject="ci-1", severity=Severity.CRITICAL, waiver=WAIVER)
    kept = [each for each in others if each.outcome is not Outcome.FAIL]
    made = run_of(FAIL, waived, replace(bad, remediation=(HOSTILE,)), *kept, status=1)
    hostile = TargetResult(name=HOSTILE, level=TARGETS[0].level, host=None, address="x", observed=True, error=None)
    made.targets = [*TARGETS, hostile]
    return made


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text), strict=True))


def cells(text: str, delimiter: str = ",") -> list[str]:
    return [cell for row in csv.reader(StringIO(text), delimiter=delimiter) for cell in row]


@pytest.mark.parametrize("table", [results_csv, problems_csv])
@pytest.mark.parametrize("name", [*FORMULAS, HOSTILE], ids=ascii)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_no_cell_is_a_formula(table: Any, name: str, delimiter: str) -> None:
    bad = replace(FAIL, target=name, subject=name, message=name, remediation=(name,), evidence=(Evidence(name, name),))
    text = "".join(table(run_of(bad, status=1)))
    assert [each for each in cells(text, delimiter) if each.lstrip().startswith(FIRST)] == []
    assert not {"\x1b", "\ud800", "\u202e"} & set(text)


def test_the_table_of_results_has_each_result_with_its_problem() -> None:
    made = run()
    found = rows("".join(results_csv(made)))
    assert len(found) == len(made.results)
    (row,) = [each for each in found if (each["control"], each["target"]) == (FAIL.control, "kvm-a")]
    problem = made.problems.of(ref_of(FAIL))
    assert problem is not None
    assert (row["problem"], row["role"]) == (problem[0].id, "cause")
    assert (row["outcome"], row["severity"], row["cause"]) == ("fail", "high", "nested-off")
    assert row["evidence"] == "/sys/module/kvm_amd/parameters/nested: 0"
    assert row["commands"] == "modprobe -r kvm_amd && modprobe kvm_amd"
    assert {each["waiver"] != "" for each in found if each["target"] == "ci-1"} == {True}


def test_the_table_of_problems_is_in_the_order_of_work() -> None:
    made = run()
    found = rows("".join(problems_csv(made)))
    assert [each["problem"] for each in found] == [each.id for each in made.problems]
    assert [each["number"] for each in found] == ["1", "2", "3"]
    assert [each["waived"] for each in found] == ["no", "no", "yes"]


@cache
def validator(version: str) -> Draft202012Validator:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    return Draft202012Validator(schema.get_class_schema(class_name="compliance_finding", profiles=[]))


def events(made: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads("".join(ocsf_json(made)))
    return found


@pytest.mark.parametrize("version", ["1.5.0", "1.8.0"])
def test_every_event_keeps_to_the_published_schema(version: str) -> None:
    found = events(run())
    assert len(found) == 3 + sum(each.applies for each in Outcome if each is not Outcome.FAIL)
    assert [error.message for each in found for error in validator(version).iter_errors(each)] == []


@pytest.mark.parametrize("change", [{"class_uid": 2004}, {"severity_id": "high"}, {"compliance": None}, {"added": 1}])
def test_the_schema_refuses_what_is_not_a_compliance_finding(change: dict[str, Any]) -> None:
    event = {**events(run())[0], **change}
    assert list(validator("1.5.0").iter_errors(event))


def test_only_a_pass_is_a_pass() -> None:
    statuses = {each["compliance"]["status_code"]: each["compliance"]["status_id"] for each in events(run())}
    assert statuses == {"pass": 1, "fail": 3, "error": 0, "unknown": 0, "informational": 99}


def test_a_waived_finding_is_suppressed_and_names_its_waiver() -> None:
    found = {each["resources"][0]["name"]: each for each in events(run()) if each["compliance"]["status_id"] == 3}
    assert found["ci-1"]["status_id"] == 3
    assert "fixed in the next window" in found["ci-1"]["comment"]
    assert found["kvm-a"]["status_id"] == 1


def test_an_event_names_its_problem_and_keeps_its_identity() -> None:
    first, again = (
        {each["finding_info"]["uid"]: each for each in events(made) if each["compliance"]["status_id"] == 3}
        for made in (run(), run_of(*ResultList(run().results.sorted_by_target()), status=1))
    )
    assert first.keys() == again.keys()
    assert {each["unmapped"]["role"] for each in first.values()} == {"cause"}
    assert all(each["unmapped"]["problem"] for each in first.values())


def test_no_text_of_a_target_can_control_a_terminal() -> None:
    text = "".join(ocsf_json(run()))
    assert text.isascii()
    assert not {"\\u001b", "\\ud800", "\\u202e"} & set(text.split('"'))
    assert "\\u001b" not in text


def test_a_run_that_is_not_whole_says_so_in_each() -> None:
    made = run_of(PASS)
    assert len(rows("".join(results_csv(made)))) == len(events(made)) == 1
    made.complete = False
    (row,) = [each for each in rows("".join(results_csv(made))) if each["control"] == "RUN-INCOMPLETE"]
    assert (row["outcome"], row["message"]) == ("error", INCOMPLETE)
    found = events(made)
    assert [error.message for each in found for error in validator("1.5.0").iter_errors(each)] == []
    (event,) = [each for each in found if each["compliance"]["control"] == "RUN-INCOMPLETE"]
    assert (event["compliance"]["status_id"], event["message"]) == (0, INCOMPLETE)
