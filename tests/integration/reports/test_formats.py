"""Each format, read by what reads it: every outcome, waivers, drift, and names that try to be markup."""

import json
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from junitparser import JUnitXml
from prometheus_client.parser import text_string_to_metric_families
from sarif_pydantic import Sarif

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Severity
from nested_kvm.model.policy import Nested
from nested_kvm.model.verdict import Evidence, Outcome
from nested_kvm.reporting.formats.hdf import hdf_json
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.reporting.formats.markdown import summary_markdown
from nested_kvm.reporting.formats.metrics import metrics_text
from nested_kvm.reporting.formats.sarif import sarif_json
from nested_kvm.reporting.nagios import nagios_answer
from nested_kvm.reporting.report_files import report_files
from nested_kvm.results.drift import Drift, DriftSummary, PastFinding
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problems import problems_of
from nested_kvm.results.run import INCOMPLETE, Result, ResultList, Run, TargetResult, Threshold
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse
from tests.support.needs import INSPECJS
from tests.support.schema import problems
from tests.support.suite import REPORTS

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>|`x`[y](z) @all \x1b[31m\ud800\u202e\n# h"
WAIVER = Waiver("L0-*", "kvm-a", None, "replaced in spring", "ops", date(2026, 3, 31), "waivers.yaml:2")
RULES = {outcome: f"L0-X-0{number}" for number, outcome in enumerate(Outcome)}


def result(outcome: Outcome, target: str, severity: Severity = Severity.HIGH) -> Result:
    is_finding = outcome is Outcome.FAIL
    return Result(
        control=RULES[outcome],
        target=target,
        subject=target,
        outcome=outcome,
        severity=severity,
        title=f"A title {HOSTILE}",
        message=f"a message {HOSTILE}",
        evidence=(Evidence("/etc/modprobe.d/k v.conf:3", HOSTILE),),
        remediation=(f"rm {HOSTILE}",) if is_finding else (),
        waiver=WAIVER if is_finding and target == "kvm-a" else None,
        drift=Drift.NEW if is_finding else None,
    )


def texts(run: Run) -> dict[str, str]:
    return {name: "".join(pieces) for name, pieces in report_files(run)}


@pytest.fixture
def run() -> Run:
    """Every outcome on two targets: on one the finding is waived, the other could not be reached."""
    past = PastFinding("L0-X-09", "kvm-c", HOSTILE, Severity.LOW, HOSTILE, HOSTILE)
    made = Run(
        id="1f0e0f6a-0000-4000-8000-000000000000",
        started=STARTED,
        version="0.1.0",
        inventory=HOSTILE,
        finished=STARTED + timedelta(seconds=3),
        exit_status=1,
        complete=True,
        targets=[
            TargetResult(
                name="kvm-a", level=TargetLevel.L0, host=None, address="ssh://kvm-a", observed=True, error=None
            ),
            TargetResult(
                name=HOSTILE, level=TargetLevel.L0, host=None, address="ssh://kvm-b", observed=False, error=HOSTILE
            ),
        ],
        results=ResultList(result(outcome, target) for outcome in Outcome for target in ("kvm-a", HOSTILE)),
        waivers=[WaiverUse(WAIVER, WaiverState.USED, 1)],
        drift=DriftSummary(HOSTILE, "1", STARTED, 2, 0, (past,), (past,), (past,), (HOSTILE,)),
        answers=[
            NestingAnswer(
                target=HOSTILE,
                level=TargetLevel.L0,
                host=None,
                nested=Nested.REQUIRED,
                now=Answer.UNKNOWN,
                after_boot=Answer.NO,
                cause=Cause.PERSISTED_OFF,
                source=f"/etc/{HOSTILE}",
                reason=HOSTILE,
                running=(HOSTILE,),
            )
        ],
    )
    made.problems = problems_of(made)
    return made


def test_results_keep_to_their_schema(run: Run) -> None:
    assert [
        problem for problem in problems("results", json.loads("".join(results_json(run)))) if "control" not in problem
    ] == []


def test_sarif_is_read_by_its_models(run: Run) -> None:
    (read,) = Sarif.model_validate_json("".join(sarif_json(run))).runs
    assert [rule.id for rule in read.tool.driver.rules or []] == [RULES[Outcome.FAIL]]
    by_target = {
        each["properties"]["target"]: each for each in json.loads("".join(sarif_json(run)))["runs"][0]["results"]
    }
    assert len(read.results or []) == len(by_target) == 2


def test_sarif_suppresses_what_is_waived_and_keeps_what_counts(run: Run) -> None:
    results = json.loads("".join(sarif_json(run)))["runs"][0]["results"]
    suppressed = [each for each in results if each["suppressions"]]
    assert [each["properties"]["target"] for each in suppressed] == ["kvm-a"]
    assert suppressed[0]["suppressions"][0]["justification"].startswith("replaced in spring (approved by ops, until 20")
    assert {each["baselineState"] for each in results} == {"new"}
    assert len({each["partialFingerprints"]["nestedKvmFinding/v1"] for each in results}) == 2


def test_sarif_points_to_the_file_and_line_below_the_target(run: Run) -> None:
    results = json.loads("".join(sarif_json(run)))["runs"][0]["results"]
    places = [each["locations"][0]["physicalLocation"] for each in results]
    assert {"artifactLocation": {"uri": "kvm-a/etc/modprobe.d/k%20v.conf"}, "region": {"startLine": 3}} in places
    assert all("<" not in each["artifactLocation"]["uri"] for each in places)


def test_sarif_tells_what_could_not_be_judged(run: Run) -> None:
    (invocation,) = json.loads("".join(sarif_json(run)))["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    levels = [each["level"] for each in invocation["toolExecutionNotifications"]]
    assert levels == ["error", "error", "warning", "warning"]


READER = """\
const {convertFile, contextualizeEvaluation} = require(process.argv[1]);
const text = require('fs').readFileSync(0, 'utf8');
const evaluation = contextualizeEvaluation(convertFile(text, true)['1_0_ExecJson']);
console.log(JSON.stringify(evaluation.contains[0].contains.map(
    control => [control.data.id, [control.hdf.status, control.hdf.severity]])));
"""


def heimdall(run: Run) -> dict[str, Any]:
    """Status and severity of each control, as Heimdall shows them."""
    command = ["node", "-e", READER, str(INSPECJS)]
    ended = subprocess.run(
        command, input="".join(hdf_json(run)), capture_output=True, text=True, timeout=300, check=True
    )
    return dict(json.loads(ended.stdout))


@pytest.mark.needs("inspecjs")
def test_heimdall_reads_each_outcome_as_it_is_meant(run: Run) -> None:
    unseen, skipped = ["Profile Error", "high"], ["Not Reviewed", "high"]
    assert heimdall(run) == {
        RULES[Outcome.PASS]: ["Passed", "high"],
        RULES[Outcome.INFORMATIONAL]: ["Passed", "high"],
        RULES[Outcome.FAIL]: ["Failed", "high"],
        RULES[Outcome.ERROR]: unseen,
        RULES[Outcome.UNKNOWN]: skipped,
        RULES[Outcome.NOTAPPLICABLE]: skipped,
        RULES[Outcome.NOTCHECKED]: skipped,
    }


@pytest.mark.needs("inspecjs")
@pytest.mark.parametrize("severity", Severity)
def test_heimdall_shows_our_severities(run: Run, severity: Severity) -> None:
    run.results = ResultList([result(Outcome.FAIL, "kvm-b", severity)])
    assert heimdall(run) == {RULES[Outcome.FAIL]: ["Failed", str(severity)]}


@pytest.mark.needs("inspecjs")
def test_heimdall_counts_no_waived_finding(run: Run) -> None:
    run.results = ResultList(run.waived())
    assert heimdall(run) == {RULES[Outcome.FAIL]: ["Not Reviewed", "high"]}


def test_hdf_tells_what_became_of_a_finding(run: Run) -> None:
    (profile,) = json.loads("".join(hdf_json(run)))["profiles"]
    (control,) = [each for each in profile["controls"] if each["id"] == RULES[Outcome.FAIL]]
    texts = [each.get("message") or each["skip_message"] for each in control["results"]]
    assert ["since the baseline: new" in text for text in texts] == [True, True]


def samples(run: Run) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics_text(run))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value for each in families for sample in each.samples
    }


def value(run: Run, name: str, **labels: str) -> float:
    return samples(run)[f"nested_kvm_{name}", frozenset(labels.items())]


def test_prometheus_reads_every_count(run: Run) -> None:
    assert value(run, "run_exit_status") == 1
    assert value(run, "run_finished_timestamp_seconds") == (STARTED + timedelta(seconds=3)).timestamp()
    assert {value(run, "results", outcome=outcome.value) for outcome in Outcome} == {2}
    assert value(run, "drift", drift="new") == 2
    assert value(run, "target_observed", target="kvm-a", level="L0") == 1
    end = value(run, "waiver_end_timestamp_seconds", state="used", control="L0-*", target="kvm-a", source=WAIVER.source)
    assert end == datetime(2026, 4, 1, tzinfo=UTC).timestamp()


def test_every_format_names_the_problem_of_a_finding_before_what_was_seen(run: Run) -> None:
    off, unseen = result(Outcome.FAIL, "kvm-a"), result(Outcome.FAIL, "ci-1")
    cause = replace(off, control="L0-KVM-04", cause=Cause.NESTED_OFF, waiver=None)
    symptom = replace(unseen, control="L1-CPU-01", cause=Cause.FLAG_MISSING, message="0 of 1 vCPUs show svm")
    guest = TargetResult(name="ci-1", level=TargetLevel.L1, host="kvm-a", address="ssh://x", observed=True, error=None)
    run.targets, run.results = [run.targets[0], guest], ResultList([symptom, cause])
    run.problems = problems_of(run)
    blame, seen = "follows from nested-off at kvm-a (L0-KVM-04)", "0 of 1 vCPUs show svm"
    written = texts(run)
    for name in ("junit.xml", "sarif.json", "hdf.json"):
        assert 0 < written[name].index(blame) < written[name].index(seen), name
    (problem,) = run.problems
    for name in ("junit.xml", "sarif.json", "metrics.prom", "results.json"):
        assert problem.id in written[name], name
    assert [each["ruleId"] for each in json.loads(written["sarif.json"])["runs"][0]["results"]] == [
        "L0-KVM-04",
        "L1-CPU-01",
    ]
    assert value(run, "problem_guests", problem=problem.id) == 1
    assert "also: L1-CPU-01 on ci-1" in written["summary.md"]
    assert seen not in written["summary.md"]
    _, answer = nagios_answer(run, Threshold(gate=True))
    assert answer.startswith("NESTED-KVM CRITICAL - nested-off at kvm-a: 2 findings")


def test_prometheus_has_a_sample_for_each_finding(run: Run) -> None:
    found = [dict(labels) for name, labels in samples(run) if name == "nested_kvm_finding"]
    assert sorted(each["waived"] for each in found) == ["false", "true"]
    assert all("".join(each.values()).isprintable() for each in found)


def test_a_run_that_did_not_end_has_metrics_too(run: Run) -> None:
    run.finished = run.exit_status = run.drift = None
    assert ("nested_kvm_run_exit_status", frozenset()) not in samples(run)


def test_the_summary_holds_no_markup_of_a_target(run: Run) -> None:
    text = summary_markdown(run)
    assert not {"<", "`", "@", "\x1b"} & set(text)
    rows = [line for line in text.splitlines() if line.startswith("| high")]
    assert [row.count("|") for row in rows] == [7]
    assert "kvm-a L0-X-01 waived until 2026-03-31 by ops: replaced in spring" in text
    assert not [line for line in text.splitlines() if line.startswith("# h")]


@pytest.mark.parametrize("limit", [2_000, 20_000, 1_000_000])
def test_the_summary_keeps_below_its_limit(run: Run, limit: int) -> None:
    run.results = ResultList(result(Outcome.FAIL, f"kvm-{number} ä") for number in range(10_000))
    run.problems = problems_of(run)
    size = len(summary_markdown(run, limit).encode())
    assert limit * 0.7 < size + 1_000 < limit + 1_000
    assert "this summary is cut" in summary_markdown(run, limit)


def test_every_format_is_utf8_without_anything_that_cannot_be_shown(run: Run) -> None:
    for name, text in texts(run).items():
        assert text.encode("utf-8"), name
        assert {letter for letter in text if not letter.isprintable()} <= {"\n"}, name


def test_no_format_calls_an_incomplete_run_compliant(run: Run) -> None:
    """Whatever its exit status, and though nothing that was judged failed."""
    run.complete, run.exit_status = False, 0
    run.targets, run.results = run.targets[:1], ResultList([result(Outcome.PASS, "kvm-a")])
    reports = texts(run)
    invocation = json.loads(reports["sarif.json"])["runs"][0]["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"] == [{"level": "error", "message": {"text": INCOMPLETE}}]
    statuses = {
        each["id"]: each["results"][0]["status"] for each in json.loads(reports["hdf.json"])["profiles"][0]["controls"]
    }
    assert statuses.pop("RUN-INCOMPLETE") == "error"
    assert set(statuses.values()) == {"passed"}
    assert "nested_kvm_run_complete 0.0" in reports["metrics.prom"]
    assert f"**INCOMPLETE: {INCOMPLETE}**" in reports["summary.md"]
    assert json.loads(reports["results.json"])["run"]["complete"] is False
    (suite,) = JUnitXml.fromstring(reports["junit.xml"])
    assert (suite.tests, suite.errors, suite.failures) == (2, 1, 0)
    (incomplete,) = [case for case in suite if case.result]
    assert (incomplete.name, incomplete.result[0].message) == ("complete", INCOMPLETE)


def test_an_empty_run_has_every_format(run: Run) -> None:
    empty = Run(run.id, STARTED, "0.1.0", "--hosts")
    reports = texts(empty)
    assert set(reports) == REPORTS - {"report.html", "SHA256SUMS"}
    assert Sarif.model_validate_json(reports["sarif.json"]).runs[0].results == []
