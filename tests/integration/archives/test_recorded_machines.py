"""A sosreport of a recorded machine never says more than the machine itself: the same outcome, or unknown."""

from dataclasses import replace
from pathlib import Path

import pytest

from nested_kvm.evidence.archive.archives import bundles_of_archive
from nested_kvm.evidence.reading import Status
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.verdict import Outcome
from tests.support.evaluation import answer, answered, controls, declared, evaluate, readings_of
from tests.support.other_archives import insights_files, must_gather_files, supportconfig_files
from tests.support.scenario import scenarios
from tests.support.sosreports import sos_files, tar_of

NOT_OF_ROOT = {Status.UNREADABLE, Status.TIMED_OUT}
"""What `sos report`, which runs as root and asks kmod nothing, would have read."""
SAYS_OTHERWISE = {
    ("amd-changelog-reverts-the-fix", "unknown", "pass"): "sos collects no changelog: the version alone decides",
    ("amd-container-of-the-hosts-processes", "unknown", "pass"): "the recorded machine's root is no container's",
    ("amd-guest-container", "unknown", "fail"): "nothing in the report shows that it was made in a container",
}
KINDS = {
    "sos": sos_files,
    "supportconfig": supportconfig_files,
    "insights": insights_files,
    "must-gather": must_gather_files,
}
WEAKER = {Outcome.UNKNOWN, Outcome.NOTAPPLICABLE, Outcome.NOTCHECKED, Outcome.INFORMATIONAL}


def is_comparable(name: str) -> bool:
    scenario, readings = scenarios()[name], readings_of(name)[name]
    is_whole = scenario.unreachable is None and scenario.cut is None
    as_root = not any(
        each.status in NOT_OF_ROOT or ("!\n" in f"{each.text}\n" and each.source.startswith("/sys/"))
        for each in readings.values()
    )
    listing = readings.get("/etc/modprobe.d")
    return is_whole and as_root and (listing is None or "?" not in listing.text)


CASES = [name for name in scenarios() if scenarios()[name].unreachable is None and is_comparable(name)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_an_archive_gives_the_outcome_of_the_machine_or_less(name: str, kind: str, tmp_path: Path) -> None:
    live = evaluate(name, readings_of(name))
    found = outcomes_of_archive(name, tmp_path, kind)
    wrong = {
        key: (live[key].outcome.value, outcome.value)
        for key, outcome in found.items()
        if key in live and outcome not in {live[key].outcome, *WEAKER}
    }
    allowed = {key: each for key, each in wrong.items() if (name, *each) in SAYS_OTHERWISE}
    assert wrong == allowed


def test_most_outcomes_are_decided_by_a_sosreport(tmp_path: Path) -> None:
    found = {**outcomes_of_archive("amd-passes", tmp_path), **outcomes_of_archive("amd-running", tmp_path)}
    passed = {control for (_, control), outcome in found.items() if outcome is Outcome.PASS}
    failed = {control for (_, control), outcome in found.items() if outcome is Outcome.FAIL}
    assert passed >= {"L0-CPU-01", "L0-KVM-01", "L0-KVM-03", "L0-KVM-04", "L0-PER-01", "L0-PER-03", "DOM-CPU-01"}
    assert "DOM-CPU-02" in failed


def outcomes_of_archive(name: str, folder: Path, kind: str = "sos") -> dict[tuple[str, str], Outcome]:
    path = folder / "report.tar"
    path.write_bytes(tar_of(KINDS[kind](name, readings_of(name)[name])))
    (bundle,) = bundles_of_archive(path)
    target = declared().named(name)
    assert target is not None
    level = bundle.target.level if target.level is TargetLevel.AUTO else target.level
    host = Machine(replace(bundle, target=replace(target, level=level)))
    guests = [Machine(each) for each in answered(name, readings_of(name)) if each.target.name != name]
    fleet = Fleet([host, *guests], declared().targets)
    return {
        (subject.id, control.id): answer(control, function, subject).outcome
        for control, function in controls().items()
        for subject in fleet.subjects_of(control)
        if subject.policy.binding
    }
