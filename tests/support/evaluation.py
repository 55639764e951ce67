"""Controls evaluated in this process over recorded machines: thousands of variations a minute, without any report."""

import importlib.util
import inspect
import json
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from typing_extensions import override

from nested_kvm.controls.applicability import check_applies
from nested_kvm.errors import NotCollected
from nested_kvm.evidence.bundle import Bundle, LibvirtAnswer
from nested_kvm.evidence.libvirt.virsh import answer_of_virsh, without_virsh
from nested_kvm.evidence.reading import Reading
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.target import Inventory, Target
from nested_kvm.model.control import Control, control_of
from nested_kvm.model.verdict import Outcome, Verdict
from nested_kvm.plugin.fixtures import FACTS
from tests.support.scenario import scenarios
from tests.support.scenario_fleet import ROOT, URI, bundles, inventory, recorded_readings

MAINTENANCE = {"DOM-OPS-01", "L1-OPS-01"}
"""Asked before a migration only, and of readings that no scenario has."""


@dataclass(frozen=True)
class Answer:
    """The outcome of one control for one subject, and the sources that it quotes."""

    outcome: Outcome
    quoted: frozenset[str] = frozenset()


Readings: TypeAlias = Mapping[str, Mapping[str, Reading]]
"""By target, then by source; virsh's answers among them."""


class NotedReadings(Mapping[str, Reading]):
    """Readings that note which of them are read."""

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        self.readings = readings
        self.sources: set[str] = set()
        self.are_listed = False
        """Whether it was asked which readings there are."""

    @override
    def __getitem__(self, source: str) -> Reading:
        self.sources.add(source)
        return self.readings[source]

    @override
    def __iter__(self) -> Iterator[str]:
        self.are_listed = True
        return iter(self.readings)

    @override
    def __len__(self) -> int:
        self.are_listed = True
        return len(self.readings)


@cache
def controls() -> dict[Control, Callable[..., object]]:
    """Every control with its function."""
    found: dict[Control, Callable[..., object]] = {}
    for path in sorted((ROOT / "checks").rglob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"evaluated_{path.parent.name}_{path.stem}", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for value in vars(module).values():
            control = control_of(value)
            if control is not None and control.id not in MAINTENANCE:
                found[control] = value
    return found


@cache
def declared() -> Inventory:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "inventory.yaml"
        file.write_text(json.dumps(inventory(scenarios())))
        return load_inventory(file)


@cache
def _recorded() -> dict[str, Bundle]:
    return {bundle.target.name: bundle for bundle in bundles(declared(), scenarios())}


@cache
def readings_of(name: str) -> Readings:
    """What a scenario's machine answered, and its guests from inside."""
    found = {name: dict(recorded_readings(scenarios()[name]))}
    for guest in declared().guests_of(name):
        if guest.name in _recorded():
            found[guest.name] = dict(_recorded()[guest.name].readings)
    return found


def fleet_of(name: str, readings: Readings, noted: Mapping[str, NotedReadings] | None = None) -> Fleet:
    """A scenario's machines that answered like this; what is read of their answers is noted if that is wanted."""
    bundles_of = answered(name, readings)
    if noted is not None:
        bundles_of = (_noting(bundle, noted) for bundle in bundles_of)
    return Fleet([Machine(bundle) for bundle in bundles_of], _grouped())


@cache
def _grouped() -> tuple[Target, ...]:
    """Of all that are declared, those that a fleet takes into account where they are not part of it."""
    return tuple(target for target in declared().targets if target.group is not None)


def _noting(bundle: Bundle, noted: Mapping[str, NotedReadings]) -> Bundle:
    own = noted.get(bundle.target.name)
    if own is None:
        return bundle
    own.readings = bundle.readings
    return replace(bundle, readings=own)


def evaluate(
    name: str,
    readings: Readings,
    only: Container[tuple[str, str]] | None = None,
    noted: Mapping[str, NotedReadings] | None = None,
) -> dict[tuple[str, str], Answer]:
    """Evaluate controls of a scenario's machines that answered like this, by subject and control.

    A subject of which nothing is required is left out: its results are informational.
    """
    fleet = fleet_of(name, readings, noted)
    return {
        (subject.id, control.id): answer(control, function, subject)
        for control, function in controls().items()
        for subject in fleet.subjects_of(control)
        if subject.policy.binding and (only is None or (subject.id, control.id) in only)
    }


@cache
def _with_guests(name: str) -> tuple[str, ...]:
    return name, *(guest.name for guest in declared().guests_of(name))


def _of_virsh(readings: Mapping[str, Reading]) -> tuple[tuple[str, Reading], ...]:
    return tuple(item for item in readings.items() if item[0].startswith("virsh "))


@lru_cache(maxsize=4)
def _libvirt(of_virsh: tuple[tuple[str, Reading], ...]) -> LibvirtAnswer | None:
    return answer_of_virsh(dict(of_virsh), URI)


def answered(name: str, readings: Readings) -> Iterator[Bundle]:
    """The bundles of a scenario's machine and of its guests, if they answered like this."""
    for target in _with_guests(name):
        recorded = _recorded().get(target)
        if recorded is None:
            known = declared().named(target)
            assert known is not None
            yield Bundle(known, next(iter(_recorded().values())).observed_at, "0")
        elif recorded.failure is not None or target != name:
            kept = recorded.readings if recorded.failure else readings[target]
            yield Bundle(recorded.target, recorded.observed_at, "0", kept, recorded.cut, None, recorded.failure)
        else:
            libvirt = (
                recorded.libvirt if recorded.cut or recorded.libvirt is None else _libvirt(_of_virsh(readings[name]))
            )
            yield Bundle(
                recorded.target, recorded.observed_at, "0", without_virsh(readings[name]), recorded.cut, libvirt
            )


@cache
def _parameters(function: Callable[..., object]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def answer(control: Control, function: Callable[..., object], subject: Subject) -> Answer:
    """Evaluate one control as the plugin does: an exception that is not a verdict is an error."""
    arguments: dict[str, Any] = {}
    try:
        check_applies(control, subject)
        for fact in _parameters(function):
            arguments[fact] = FACTS[fact](subject)
        function(**arguments)
    except Verdict as verdict:
        return Answer(verdict.outcome, frozenset(each.source for each in verdict.evidence))
    except NotCollected:
        return Answer(Outcome.UNKNOWN)
    except Exception:  # noqa: BLE001 - whatever breaks is an error of this control
        return Answer(Outcome.ERROR)
    return Answer(Outcome.PASS)
