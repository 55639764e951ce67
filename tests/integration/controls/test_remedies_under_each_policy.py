"""No remedy makes a control worse: published failures, exposed hosts and the demo's, each under each policy."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from nested_kvm.errors import ObservationError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import read_bundles
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.cause import Cause
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import _REMEDIES, remediation
from nested_kvm.remediation.names import reload_now
from nested_kvm.remediation.repair import repair
from tests.integration.controls.test_remedies_never_harm import (
    AFTER_A_CHANGE,
    Outcomes,
    _write_a_file,
    worse,
)
from tests.support.evaluation import answer, controls
from tests.support.exposed_hosts import write_fleet
from tests.support.field_failure import failures
from tests.support.remedied import Files, answered, applied, finding_of, remedies_in
from tests.support.scenario_fleet import ROOT, bundles, inventory

POLICIES = {
    "required": Policy(Nested.REQUIRED),
    "forbidden": Policy(Nested.FORBIDDEN),
    "guarded": Policy(Nested.GUARDED),
}


@cache
def hosts() -> dict[str, Bundle]:
    """The recorded L0s by a name that tells where they are recorded."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "inventory.yaml"
        file.write_text(json.dumps(inventory(failures())))
        field = list(bundles(load_inventory(file), failures()))
        exposed = {
            f"exposed-{'on' if is_on else 'off'}": list(read_bundles(_made(Path(folder), is_on=is_on)))
            for is_on in (True, False)
        }
    demo = list(read_bundles(ROOT / "examples" / "fleet" / "evidence"))
    all_of_them = {"field": field, "demo": demo, **exposed}
    return {
        f"{source}-{each.target.name}": each
        for source, found in all_of_them.items()
        for each in found
        if each.target.level is not TargetLevel.L1 and each.failure is None
    }


def _made(folder: Path, *, is_on: bool) -> Path:
    place = folder / str(is_on)
    place.mkdir()
    return write_fleet(place, "required", is_on=is_on)[1]


def outcomes(bundle: Bundle, files: Files) -> Outcomes:
    fleet, name = Fleet([Machine(replace(bundle, readings=files))]), bundle.target.name
    return {
        control.id: answer(control, function, subject).outcome
        for control, function in controls().items()
        for subject in fleet.subjects_of(control)
        if subject.id == name
    }


def recorded(bundle: Bundle) -> Files | None:
    """The readings, where kmod's recorded answer is that of the algorithm over the files; else nothing is applied."""
    files = dict(bundle.readings)
    source = next((each for each in files if each.startswith("modprobe --show-depends ")), None)
    try:
        again = answered(files)
    except ObservationError:  # too little was read of this machine
        return None
    return files if source is not None and files[source].text.split() == again[source].text.split() else None


def remedies(bundle: Bundle, files: Files) -> list[tuple[str, list[str]]]:
    return list(remedies_in(Fleet([Machine(replace(bundle, readings=files))]), bundle.target.name))


def violations(name: str, policy: Policy) -> Iterator[str]:
    bundle = replace(hosts()[name], target=replace(hosts()[name].target, policy=policy))
    files = recorded(bundle)
    if files is None:
        return
    before, together = outcomes(bundle, files), files
    for control, commands in remedies(bundle, files):
        found = worse(before, outcomes(bundle, applied(files, commands)), AFTER_A_CHANGE - {control})
        yield from (f"{name}: the remedy of {control} makes {each}: {how}" for each, how in found.items())
        together = applied(together, commands)
    found = worse(before, outcomes(bundle, together))
    yield from (f"{name}: all remedies make {each}: {how}" for each, how in found.items())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", sorted(hosts()))
def test_no_remedy_makes_a_control_worse_under_any_policy(name: str, policy: str) -> None:
    assert list(violations(name, POLICIES[policy])) == []


@pytest.mark.parametrize("policy", POLICIES)
def test_enough_of_them_are_changed_by_their_remedies(policy: str) -> None:
    changed = set()
    for name, each in hosts().items():
        bundle = replace(each, target=replace(each.target, policy=POLICIES[policy]))
        files = recorded(bundle)
        if files is not None and any(applied(files, commands) != files for _, commands in remedies(bundle, files)):
            changed.add(name)
    assert len(changed) >= 5, sorted(changed)


def _reload_at_once(subject: Subject, _finding: Finding) -> list[str]:
    return reload_now(subject)


@pytest.mark.parametrize(
    ("policy", "cause", "spoiled"),
    [
        ("required", Cause.NESTED_OFF, _reload_at_once),
        ("required", Cause.PERSISTED_OFF, _write_a_file),
        ("forbidden", Cause.NESTED_ON, _write_a_file),
        ("guarded", Cause.NESTED_ON, _write_a_file),
    ],
    ids=lambda each: each if isinstance(each, str) else getattr(each, "code", "spoiled"),
)
def test_a_spoiled_remedy_is_found_under_that_policy(
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    cause: Cause,
    spoiled: Callable[[Subject, Finding], list[str]],
) -> None:
    monkeypatch.setitem(_REMEDIES, cause, spoiled)
    assert any(chain.from_iterable(violations(name, POLICIES[policy]) for name in hosts()))


def _switching_on(state: str) -> Iterator[tuple[str, Subject, Finding]]:
    bundle = hosts()[f"exposed-off-debian-{state}"]
    fleet = Fleet([Machine(replace(bundle, target=replace(bundle.target, policy=POLICIES["required"])))])
    for control, function in controls().items():
        for subject in fleet.subjects_of(control):
            found = finding_of(fleet, control, function, subject) if subject.domain is None else None
            if found is not None and found.cause in {Cause.NESTED_OFF, Cause.PERSISTED_OFF}:
                yield control.id, subject, found


@pytest.mark.parametrize(("state", "runs"), [("vulnerable", False), ("fixed", True)])
def test_nested_is_switched_on_only_under_a_fixed_kernel(state: str, *, runs: bool) -> None:
    findings = list(_switching_on(state))
    assert {control for control, _, _ in findings} >= {"L0-KVM-04", "L0-PER-01"}
    for _, subject, finding in findings:
        commands = [line for line in remediation(subject, finding) if not line.startswith("#")]
        assert any("modprobe" in line for line in commands) is runs
        assert bool(repair(subject, finding)) is runs
