"""`metrics.prom`: the run for Prometheus, for the textfile collector of its node exporter."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from itertools import islice
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.problem_text import problem_properties
from nested_kvm.results.drift import Drift
from nested_kvm.results.run import Run
from nested_kvm.results.run_verdict import RunVerdict, conclude
from nested_kvm.util.text import printable

_AT_ONCE: Final = 1000
_HEADING_LINES: Final = 2
"""HELP and TYPE, which a family has once."""
_PREFIX: Final = "nested_kvm_"
_VALUES: Final = {Answer.YES: 1, Answer.NO: 0, Answer.UNKNOWN: -1}


class _Metrics:
    """Gauges, each with its samples; labels are made printable."""

    def __init__(self) -> None:
        self._gauges: dict[str, tuple[str, tuple[str, ...], dict[tuple[str, ...], float]]] = {}

    def put(self, name: str, meaning: str, value: float, **labels: str) -> None:
        """Set one sample; the first one of its name declares it."""
        _, _, samples = self._gauges.setdefault(name, (meaning, tuple(labels), {}))
        samples[tuple(map(printable, labels.values()))] = value

    def pieces(self) -> Iterator[str]:
        """Return the text of all, some samples at a time: prometheus-client takes ten times as much memory for each."""
        for name, (meaning, labels, samples) in self._gauges.items():
            left = iter(samples.items())
            heading_lines = 0
            while part := list(islice(left, _AT_ONCE)):
                family = GaugeMetricFamily(f"{_PREFIX}{name}", meaning, labels=labels)
                for values, value in part:
                    family.add_metric(values, float(value))
                yield _text(family).split("\n", heading_lines)[-1]
                heading_lines = _HEADING_LINES


class _One(Collector):
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    @override
    def collect(self) -> Iterator[Metric]:
        yield self._family


def _text(family: Metric) -> str:
    registry = CollectorRegistry()
    registry.register(_One(family))
    return generate_latest(registry).decode()


def metrics_text(run: Run) -> str:
    """Return the run in Prometheus' text format."""
    return "".join(metrics_pieces(run))


def metrics_pieces(run: Run) -> Iterator[str]:
    """Return the same piece by piece."""
    metrics = _Metrics()
    _of_run(run, metrics)
    _of_targets(run, metrics)
    _of_problems(run, metrics)
    _of_findings(run, metrics)
    _of_exposure(run, metrics)
    return metrics.pieces()


def _of_run(run: Run, metrics: _Metrics) -> None:
    if run.finished is not None:
        ended = run.finished.timestamp()
        metrics.put("run_finished_timestamp_seconds", "When the run ended.", ended)
        metrics.put("run_duration_seconds", "How long it took.", ended - run.started.timestamp())
    if run.exit_status is not None:
        meaning = "0 compliant, 1 a finding, 6 something could not be inspected; others: no verdict."
        metrics.put("run_exit_status", meaning, run.exit_status)
    metrics.put(
        "run_complete", "Whether the run evaluated everything; 0: it ended early, or was narrowed.", run.is_whole
    )
    metrics.put("run_info", "Version and inventory of the run.", 1, version=run.version, inventory=run.inventory)
    for outcome in Outcome:
        metrics.put("results", "Results by their outcome.", run.count(outcome), outcome=outcome.value)
    for verdict in RunVerdict:
        meaning = "The headline of the run: one of them is 1."
        metrics.put("run_verdict", meaning, conclude(run).verdict is verdict, verdict=verdict.value)
    for severity, count in conclude(run).undecided.items():
        meaning = "Unknowns that no waiver accepts, and errors, by the severity of their control."
        metrics.put("undecided", meaning, count, severity=str(severity))
    if run.drift is not None:
        counts = {Drift.NEW: run.drift.new, Drift.PERSISTING: run.drift.persisting}
        counts |= {Drift.FIXED: len(run.drift.fixed), Drift.GONE: len(run.drift.gone)}
        for drift, count in counts.items():
            metrics.put("drift", "Findings against those of the baseline.", count, drift=drift.value)


def _of_targets(run: Run, metrics: _Metrics) -> None:
    for target in run.targets:
        if target.address is not None:
            meaning = "Whether the target could be inspected."
            metrics.put("target_observed", meaning, target.observed, target=target.name, level=target.level.value)
        if target.observed_at is not None:
            meaning = "When the target's evidence was read."
            metrics.put(
                "target_observed_timestamp_seconds", meaning, target.observed_at.timestamp(), target=target.name
            )
    for each in run.diagnoses:
        for answer in Answer:
            meaning = "Whether the guest can run nested virtual machines."
            labels = {"target": each.target, "host": each.host or "", "answer": answer.value}
            metrics.put("can_nest", meaning, each.can_nest is answer, **labels)


def _of_problems(run: Run, metrics: _Metrics) -> None:
    for each in run.answers:
        meaning = "Whether a guest, or the guests of a host, can nest: 1 yes, 0 no, -1 not known."
        for when, answer in (("now", each.now), ("after_boot", each.after_boot)):
            metrics.put("nests", meaning, _VALUES[answer], target=each.target, level=each.level.value, when=when)
    for problem in run.problems:
        labels = {
            "problem": problem.id,
            "cause": "" if problem.cause is None else problem.cause.code,
            "target": problem.place.target,
            "subject": problem.place.subject,
            "severity": str(problem.severity),
            "waived": str(problem.waived).lower(),
        }
        metrics.put("problem", "One for each problem: a cause, with all findings that follow from it.", 1, **labels)
        meaning = "The guests that a problem holds back, now or after the next boot."
        metrics.put("problem_guests", meaning, len(problem.held_back), problem=problem.id)


def _of_findings(run: Run, metrics: _Metrics) -> None:
    for result in run.with_outcome(Outcome.FAIL):
        labels = {
            "target": result.target,
            "subject": result.subject,
            "control": result.control,
            "severity": str(result.severity),
            "waived": str(result.waiver is not None).lower(),
            **({"problem": "", "role": ""} | problem_properties(run, result)),
        }
        metrics.put("finding", "One for each finding.", 1, **labels)
    for use in run.waivers:
        if use.waiver.expires is not None:
            meaning = "The first second after a waiver's last day, UTC."
            waiver = use.waiver
            labels = {"control": waiver.control, "target": waiver.target, "source": waiver.source}
            metrics.put("waiver_end_timestamp_seconds", meaning, waiver.end_timestamp, state=use.state.value, **labels)


def _of_exposure(run: Run, metrics: _Metrics) -> None:
    if run.advisories_dated is not None:
        dated = datetime.combine(run.advisories_dated, time(), UTC).timestamp()
        metrics.put("advisories_timestamp_seconds", "The day of the advisory data.", dated)
    for host in run.exposures:
        meaning = "Whether guests of the host certainly reach a published vulnerability of its kernel."
        metrics.put("host_exposed", meaning, bool(host.open), target=host.target)
        meaning = "The guests of the host that hold the virtualization flag now."
        metrics.put("host_guests_with_flag", meaning, len(host.guests), target=host.target)
        for cve in host.cves:
            meaning = (
                "The state of an advisory on a host: open, undecided, closed (vulnerable, not reachable) or fixed."
            )
            for state in ("open", "undecided", "closed", "fixed"):
                labels = {"target": host.target, "cve": cve.id, "state": state}
                metrics.put("exposure", meaning, cve.state == state, **labels)
