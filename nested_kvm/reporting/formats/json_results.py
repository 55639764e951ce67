"""`results.json`: the run for programs, as `results/schema.py` defines it."""

from collections.abc import Iterator
from dataclasses import asdict
from operator import attrgetter
from typing import Any

from nested_kvm.model.policy import Policy
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.formats.json_pieces import json_document
from nested_kvm.results.diagnosis import Diagnosis
from nested_kvm.results.drift import DriftSummary, PastFinding
from nested_kvm.results.exposure import CveExposure, HostExposure
from nested_kvm.results.incremental import Incremental
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problem import FindingRef, Problem, Problems
from nested_kvm.results.problems import ref_of
from nested_kvm.results.run import RESULTS_SCHEMA, Result, Run, TargetResult, hosts_and_their_guests
from nested_kvm.results.run_verdict import conclude
from nested_kvm.results.selection import selection_of
from nested_kvm.results.waiver import Waiver, WaiverUse
from nested_kvm.util.times import iso_time


def results_json(run: Run) -> Iterator[str]:
    """Return the whole run as JSON text, piece by piece, in ASCII: no target's text can control a terminal.

    Sorted, with one target and one result per line, so that two runs can be compared.
    """
    document = {
        "schema": RESULTS_SCHEMA,
        "run": {
            "id": run.id,
            "started": iso_time(run.started),
            "finished": None if run.finished is None else iso_time(run.finished),
            "version": run.version,
            "inventory": run.inventory,
            "exit_status": run.exit_status,
            "complete": run.is_whole,
            "asked": _asked(run),
            "not_audited": list(run.not_audited),
            "candidate": run.candidate,
            "candidates": list(run.candidates),
            "shard": None if run.shard is None else asdict(run.shard),
            "inputs": [asdict(each) for each in run.inputs],
            "advisories_dated": None if run.advisories_dated is None else run.advisories_dated.isoformat(),
            "verdict": conclude(run).verdict.value,
            "counts": {
                "findings": len(run.findings()),
                "undecided": run.undecided,
            },
        },
        "targets": map(_target, sorted(run.targets, key=hosts_and_their_guests)),
        "results": (_result(each, run.problems) for each in run.results.sorted_by_target()),
        "diagnoses": map(_diagnosis, sorted(run.diagnoses, key=attrgetter("target"))),
        "answers": map(_answer, sorted(run.answers, key=attrgetter("target"))),
        "problems": map(_problem, run.problems),
        "exposures": map(_exposure, sorted(run.exposures, key=attrgetter("target"))),
        "waivers": map(_use, run.waivers),
        "drift": None if run.drift is None else _drift(run.drift),
    }
    return json_document(document)


def _asked(run: Run) -> dict[str, Any]:
    return {"owed": run.owed, "not_asked": [asdict(each) for each in run.not_asked], **asdict(selection_of(run))}


def _target(target: TargetResult) -> dict[str, Any]:
    policy = {} if target.policy is None else {"policy": _policy(target.policy)}
    return {
        "name": target.name,
        "level": target.level.value,
        "host": target.host,
        "address": target.address,
        "observed": target.observed,
        "error": target.error,
        **policy,
        "observed_at": None if target.observed_at is None else iso_time(target.observed_at),
        "evidence": None if target.evidence is None else asdict(target.evidence),
        "incremental": None if target.incremental is None else _incremental(target.incremental),
    }


def _incremental(found: Incremental) -> dict[str, Any]:
    digest = None if found.digest is None else dict(sorted(found.digest.parts.items()))
    return {"digest": digest, "reason": found.reason}


def _policy(policy: Policy) -> dict[str, str]:
    return {"nested": policy.nested, "persistence": policy.persistence, "undeclared": policy.undeclared}


def _result(result: Result, problems: Problems) -> dict[str, Any]:
    found = problems.of(ref_of(result)) if result.outcome is Outcome.FAIL else None
    return {
        "control": result.control,
        "target": result.target,
        "subject": result.subject,
        "outcome": result.outcome.value,
        "severity": str(result.severity),
        "title": result.title,
        "message": result.message,
        "cause": None if result.cause is None else result.cause.code,
        "evidence": [{"source": item.source, "text": item.text} for item in result.evidence],
        "remediation": list(result.remediation),
        "waiver": None if result.waiver is None else _waiver(result.waiver),
        "drift": result.drift,
        "decides": result.decides,
        **({} if result.check is None else {"check": result.check}),
        **({} if found is None else {"problem": found[0].id, "role": found[1].value}),
    }


def _waiver(waiver: Waiver) -> dict[str, Any]:
    known = asdict(waiver)
    del known["accepts_unknown"], known["until_fixed"], known["advisories"]
    return {
        **known,
        "expires": None if waiver.expires is None else waiver.expires.isoformat(),
        "accepts": "unknown" if waiver.accepts_unknown else None,
        "until": "fixed" if waiver.until_fixed else None,
        **({} if waiver.advisories is None else {"advisories": list(waiver.advisories)}),
    }


def _use(use: WaiverUse) -> dict[str, Any]:
    return {"waiver": _waiver(use.waiver), "state": use.state.value, "findings": use.findings}


def _drift(drift: DriftSummary) -> dict[str, Any]:
    return {
        "baseline": {"file": drift.baseline, "id": drift.baseline_id, "started": iso_time(drift.baseline_started)},
        "new": drift.new,
        "persisting": drift.persisting,
        "fixed": [_past(each) for each in drift.fixed],
        "gone": [_past(each) for each in drift.gone],
        "unjudged": [_past(each) for each in drift.unjudged],
        "vanished": list(drift.vanished),
    }


def _past(finding: PastFinding) -> dict[str, Any]:
    return {**asdict(finding), "severity": str(finding.severity)}


def _exposure(host: HostExposure) -> dict[str, Any]:
    return {
        "target": host.target,
        "kernel": host.kernel,
        "reach": host.reach,
        "cves": list(map(_cve, host.cves)),
        "guests": list(host.guests),
        "device_is_open": host.device_is_open,
        "forbids": host.forbids,
        "installed_fix": host.installed_fix,
        "state": host.state,
    }


def _cve(cve: CveExposure) -> dict[str, Any]:
    return {
        "id": cve.id,
        "name": cve.name,
        "published": cve.published.isoformat(),
        "is_fixed": cve.is_fixed.value,
        "reached": cve.reached.value,
        "reason": cve.reason,
        "proof": None if cve.proof is None else {"source": cve.proof.source, "text": cve.proof.text},
    }


def _diagnosis(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "target": diagnosis.target,
        "host": diagnosis.host,
        "can_nest": diagnosis.can_nest.value,
        "broken_link": None if diagnosis.broken_link is None else diagnosis.broken_link.value,
        "cause": None if diagnosis.cause is None else diagnosis.cause.code,
        "explanation": diagnosis.explanation,
        "remediation": list(diagnosis.remediation),
        "warnings": list(diagnosis.warnings),
        "links": [{"link": link.name.value, "state": link.state.value, "text": link.text} for link in diagnosis.links],
    }


def _answer(answer: NestingAnswer) -> dict[str, Any]:
    return {
        "target": answer.target,
        "level": answer.level.value,
        "host": answer.host,
        "nested": None if answer.nested is None else answer.nested.value,
        "now": answer.now.value,
        "after_boot": answer.after_boot.value,
        "complies": answer.complies,
        "cause": None if answer.cause is None else answer.cause.code,
        "source": answer.source,
        "reason": answer.reason,
        "running": list(answer.running),
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "id": problem.id,
        "cause": None if problem.cause is None else problem.cause.code,
        "place": {
            "target": problem.place.target,
            "subject": problem.place.subject,
            "part": problem.place.part.value,
            "source": problem.place.source,
        },
        "severity": str(problem.severity),
        "message": problem.message,
        "evidence": [{"source": item.source, "text": item.text} for item in problem.evidence],
        "finding": _ref(problem.finding),
        "consequences": [_ref(each) for each in problem.consequences],
        "holds_back_now": list(problem.holds_back_now),
        "holds_back_after_boot": list(problem.holds_back_after_boot),
        "frees": list(problem.frees),
        "commands": list(problem.commands),
        "shut_down_first": list(problem.shut_down_first),
        "restart_after": list(problem.restart_after),
        "boot_makes_worse": problem.boot_makes_worse,
        "waived": problem.waived,
        "drift": problem.drift,
    }


def _ref(ref: FindingRef) -> dict[str, Any]:
    check = {} if ref.check is None else {"check": ref.check}
    return {"control": ref.control, "target": ref.target, "subject": ref.subject, **check}
