"""The alert rules and the dashboard for metrics.prom: read by Prometheus, on what a run writes."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from nested_kvm.model.answer import Answer
from nested_kvm.reporting.formats.metrics import metrics_text
from nested_kvm.results.diagnosis import Diagnosis
from nested_kvm.results.exposure import CveExposure, HostExposure
from nested_kvm.results.run import Run
from tests.support.made_runs import run_with_everything

ROOT = Path(__file__).parents[3]
RULES = ROOT / "contrib" / "prometheus" / "nested-kvm.rules.yaml"
DASHBOARD = ROOT / "contrib" / "grafana" / "nested-kvm.json"
NAME = re.compile(r"nested_kvm_\w+")
CVE = CveExposure("CVE-2026-53359", "Januscape", date(2026, 7, 4), Answer.NO, Answer.YES, "upstream 6.1.176", None)


def exposed_run() -> Run:
    run = run_with_everything()
    hosts = [
        HostExposure("kvm-a", "6.1.176", "kvm_amd runs with nested=1", (CVE,), ("ci-1",)),
        HostExposure("kvm-b", "6.1.177", "", (replace(CVE, is_fixed=Answer.YES),)),
        HostExposure("kvm-c", "5.14.0-687.el9", "", (replace(CVE, is_fixed=Answer.UNKNOWN),)),
    ]
    run.exposures = hosts
    run.advisories_dated = date(2026, 11, 28)
    run.diagnoses = [Diagnosis("ci-1", "kvm-a", Answer.NO, (), "the definition has disable svm")]
    return run


def samples(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def rules() -> list[dict[str, Any]]:
    return [rule for group in YAML(typ="safe").load(RULES)["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    dashboard = json.loads(DASHBOARD.read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def promtool(*arguments: str, given: str = "") -> str:
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs("promtool")
def test_prometheus_reads_the_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(RULES))


@pytest.mark.needs("promtool")
def test_prometheus_reads_the_metrics() -> None:
    promtool("check", "metrics", given=metrics_text(exposed_run()))


def test_every_metric_that_is_asked_for_is_one_that_a_run_writes() -> None:
    written = set(NAME.findall(metrics_text(exposed_run())))
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert asked
    assert asked - written == set()


@pytest.mark.needs("promtool")
def test_the_alerts_are_raised_by_what_a_run_writes(tmp_path: Path) -> None:
    """Let Prometheus evaluate the rules on the metrics of a run, of which one host is exposed."""
    series = [
        {"series": line.rpartition(" ")[0], "values": f"{line.rpartition(' ')[2]}x2000"}
        for line in samples(metrics_text(exposed_run()))
    ]
    host = "kvm-a"
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "alert_rule_test": [
                    {
                        "eval_time": "30m",
                        "alertname": "NestedKvmHostExposed",
                        "exp_alerts": [
                            {
                                "exp_labels": {"severity": "critical", "target": host},
                                "exp_annotations": {
                                    key: text.replace("{{ $labels.target }}", host)
                                    for key, text in rules()[0]["annotations"].items()
                                },
                            }
                        ],
                    },
                    {"eval_time": "30m", "alertname": "NestedKvmNotDecided", "exp_alerts": []},
                    {"eval_time": "30m", "alertname": "NestedKvmExposureUndecided", "exp_alerts": []},
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    YAML().dump(tests, file)
    promtool("test", "rules", str(file))


def test_the_dashboard_is_one_of_grafanas() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["title"]
    assert {variable["type"] for variable in dashboard["templating"]["list"]} == {"datasource"}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) > 5
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_the_metrics_are_per_host_and_advisory() -> None:
    lines = samples(metrics_text(exposed_run()))
    assert 'nested_kvm_exposure{cve="CVE-2026-53359",state="open",target="kvm-a"} 1.0' in lines
    assert 'nested_kvm_exposure{cve="CVE-2026-53359",state="fixed",target="kvm-b"} 1.0' in lines
    assert 'nested_kvm_exposure{cve="CVE-2026-53359",state="undecided",target="kvm-c"} 1.0' in lines
    assert 'nested_kvm_host_exposed{target="kvm-a"} 1.0' in lines
    assert 'nested_kvm_host_guests_with_flag{target="kvm-a"} 1.0' in lines
