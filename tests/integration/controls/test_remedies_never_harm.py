"""No remedy makes a control worse: those of recorded machines are applied to their files, and evaluated again."""

from collections.abc import Callable, Iterator

import pytest

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Finding, Outcome
from nested_kvm.remediation import _REMEDIES, nested_value
from nested_kvm.remediation.names import reload_now
from tests.support.evaluation import evaluate, readings_of
from tests.support.remedied import Files, answered, applied, remedies_of
from tests.support.scenario import scenarios

Outcomes = dict[str, Outcome]
GOOD = frozenset({Outcome.PASS, Outcome.INFORMATIONAL, Outcome.NOTAPPLICABLE, Outcome.NOTCHECKED})
AFTER_A_CHANGE = frozenset({"L0-PER-02"})
"""A changed file takes effect at the next load: until the reload, which has its own remedy, that is a finding."""
SHOWN_BY_A_FIX = frozenset({"L0-KVM-05", "L0-SEC-01", "L0-LIB-02", "L0-KVM-06", "L0-PER-07", "L0-PER-02"})
"""What is asked only where nesting is on, or where a file decides: a fix can bring up what was there before."""
HOSTS = sorted(name for name, each in scenarios().items() if each.machine.level == "L0" and each.unreachable is None)


def outcomes(name: str, files: Files) -> Outcomes:
    found = evaluate(name, {**readings_of(name), name: files})
    return {control: answer.outcome for (subject, control), answer in found.items() if subject == name}


def is_worse(control: str, before: Outcome, after: Outcome) -> bool:
    if before is Outcome.NOTAPPLICABLE and control in SHOWN_BY_A_FIX:
        return False
    return before in GOOD and after not in GOOD


def worse(before: Outcomes, after: Outcomes, allowed: frozenset[str] = frozenset()) -> dict[str, str]:
    return {
        control: f"{outcome.value} → {after[control].value}"
        for control, outcome in before.items()
        if control not in allowed and is_worse(control, outcome, after[control])
    }


def recorded(name: str) -> Files | None:
    """The machine's readings, where its kmod answers as the algorithm does; else nothing can be applied to it."""
    files = dict(readings_of(name)[name])
    source = next((each for each in files if each.startswith("modprobe --show-depends ")), None)
    try:
        again = answered(files)
    except ObservationError:  # too little was read of this machine
        return None
    same = source is not None and files[source].text.split() == again[source].text.split()
    return files if same else None


def violations(name: str) -> Iterator[str]:
    files = recorded(name)
    if files is None:
        return
    before = outcomes(name, files)
    remedies = list(remedies_of(name, {**readings_of(name), name: files}))
    for control, commands in remedies:
        found = worse(before, outcomes(name, applied(files, commands)), AFTER_A_CHANGE - {control})
        yield from (f"{name}: the remedy of {control} makes {each}: {how}" for each, how in found.items())
    together = files
    for _, commands in remedies:
        together = applied(together, commands)
    after = outcomes(name, together)
    yield from (f"{name}: all remedies make {each}: {how}" for each, how in worse(before, after).items())


@pytest.mark.parametrize("name", HOSTS)
def test_no_remedy_makes_a_control_worse(name: str) -> None:
    assert list(violations(name)) == []


def test_enough_machines_are_changed_by_their_remedies() -> None:
    changed = {
        name
        for name in HOSTS
        if (files := recorded(name)) is not None
        and any(
            applied(files, commands) != files for _, commands in remedies_of(name, {**readings_of(name), name: files})
        )
    }
    assert len(changed) >= 25, sorted(changed)


def _reload_at_once(subject: Subject, _finding: Finding) -> list[str]:
    return reload_now(subject)


def _write_a_file(subject: Subject, finding: Finding) -> list[str]:
    lines = nested_value.persist(subject, finding)
    opposite = subject.policy.either(0, 1)
    module = subject.machine.kvm_module_name
    return [f"printf 'options {module} nested={opposite}\\n' > {nested_value.OWN_FILE}", *lines[1:]]


@pytest.mark.parametrize(
    ("cause", "spoiled"),
    [
        (Cause.RELOAD_PENDING, _reload_at_once),
        (Cause.NESTED_OFF, _reload_at_once),
        (Cause.NOT_EXPLICIT, _write_a_file),
        (Cause.PERSISTED_OFF, _write_a_file),
    ],
    ids=lambda each: getattr(each, "value", each).__str__()[:20],
)
def test_a_spoiled_remedy_is_found(
    monkeypatch: pytest.MonkeyPatch, cause: Cause, spoiled: Callable[[Subject, Finding], list[str]]
) -> None:
    monkeypatch.setitem(_REMEDIES, cause, spoiled)
    assert any(line for name in HOSTS for line in violations(name))


def test_a_failing_load_after_a_reload_is_seen() -> None:
    files = dict(readings_of("amd-nested-y")["amd-nested-y"])
    after = applied(files, ["modprobe -r kvm_amd && modprobe kvm_amd"])
    assert after["/dev/kvm"].status is Status.ABSENT
    assert after[sources.MODULES] == Reading(sources.MODULES, Status.OK, "kvm")
