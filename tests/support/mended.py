"""Recorded machines after a problem was fixed: its commands applied to their files, or the domain defined correctly.

A host's files are changed as its commands say; a guest that has to be shut down and started for it shows then what its
base shows, and a domain has the CPU of its host.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.sources import VM_HOLDERS, VMM_PROCESSES
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.target import Inventory
from nested_kvm.results.problem import Problem
from tests.support.remedied import Files, answered, applied
from tests.support.scenario import Inside, Scenario, scenarios
from tests.support.scenario_fleet import bundle, bundles, inventory

_GIVES: Final = "<cpu mode='host-passthrough'/>"
_HEALTHY: Final = {"kvm_amd": "amd-passes", "kvm_intel": "intel-passes"}


@dataclass(frozen=True)
class Recorded:
    """A scenario's machines by name, and the inventory that declares them; `scenario` None: another fleet."""

    name: str
    bundles: Mapping[str, Bundle]
    declared: Inventory
    scenario: Scenario | None = None

    @property
    def fleet(self) -> Fleet:
        """The machines as they answered."""
        return Fleet([Machine(each) for each in self.bundles.values()], self.declared.targets)

    def with_readings(self, name: str, files: Files) -> "Recorded":
        """The machines, of which one answers with these."""
        return replace(self, bundles={**self.bundles, name: replace(self.bundles[name], readings=files)})


def recorded(name: str, scenario: Scenario) -> Recorded:
    """The machines of a scenario, or of a published failure."""
    cases = {name: scenario}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "inventory.yaml"
        file.write_text(json.dumps(inventory(cases)))
        declared = load_inventory(file)
    seen = {each.target.name: each for each in bundles(declared, cases)}
    when = next(iter(seen.values())).observed_at
    return Recorded(
        name, {each.name: seen.get(each.name) or Bundle(each, when, "0") for each in declared}, declared, scenario
    )


def mended(before: Recorded, problem: Problem) -> Recorded | None:
    """The machines once the problem was fixed; None: what fixes it cannot be applied to what was recorded."""
    place = problem.place
    if place.subject == place.target:
        return _commands_run(before, problem)
    return _defined_again(before, place.target, place.subject)


def _commands_run(before: Recorded, problem: Problem) -> Recorded | None:
    name, commands = problem.place.target, list(problem.commands)
    files = before.bundles[name].readings
    try:
        as_recorded = dict(answered(dict(files)))
    except ObservationError:  # too little was read of this machine
        return None
    changed = {source for source in files if files[source].text.split() != as_recorded[source].text.split()}
    if changed or not any(source.startswith("modprobe --show-depends ") for source in files):
        return None
    after = before.with_readings(name, _loaded(applied(dict(files), commands), commands))
    for guest in problem.restart_after:
        after = _started(after, guest)
    return after


def _loaded(files: Files, commands: list[str]) -> Files:
    """The module is there once `modprobe` was run for it, and so is its device."""
    wanted = [module for module in _HEALTHY for line in commands if line.startswith(f"modprobe {module}")]
    if not wanted:
        return files
    healthy = scenarios()[_HEALTHY[wanted[0]]].all_readings()
    modules = {source: each for source, each in healthy.items() if source.startswith("/sys/module")}
    return {**files, **modules, "/dev/kvm": healthy["/dev/kvm"], "dmesg": Reading("dmesg", Status.OK, "", 0)}


def _started(after: Recorded, guest: str) -> Recorded:
    """A guest after its start shows what its base shows: the flag, the module and the device."""
    known = after.bundles.get(guest)
    case = None if after.scenario is None else after.scenario.domains.get(guest.partition(".")[2])
    if known is None or case is None or case.inside is None or not known.readings:
        return after
    uuid = known.readings["/sys/class/dmi/id/product_uuid"]
    readings = Inside(base=case.inside.base).all_readings(uuid.text)
    return after.with_readings(guest, {**readings, uuid.source: uuid})


def _defined_again(before: Recorded, host: str, subject: str) -> Recorded | None:
    """The machines with a domain that has its host's CPU, and runs with it."""
    scenario, domain = before.scenario, subject.partition(".")[2]
    if scenario is None or domain not in scenario.domains or (VMM_PROCESSES in scenario.readings):
        return None
    case = scenario.domains[domain]
    live = None if case.live is None else _GIVES
    right = case.model_copy(update={"type": "kvm", "inactive": _GIVES, "live": live})
    readings = {key: each for key, each in scenario.readings.items() if key not in {VMM_PROCESSES, VM_HOLDERS}}
    changed = scenario.model_copy(update={"domains": {**scenario.domains, domain: right}, "readings": readings})
    seen = bundle(before.bundles[host].target, changed)
    return _started(replace(before, bundles={**before.bundles, host: seen}), subject)


def demo_hosts(folder: Path, seen: Iterator[Bundle]) -> Recorded:
    """The fleet of the demo."""
    declared = load_inventory(folder / "inventory.yaml")
    by_name = {each.target.name: each for each in seen}
    targets = [each for each in declared if each.name in by_name]
    fleet = {each.name: replace(by_name[each.name], target=each) for each in targets}
    others = {each.name: Bundle(each, next(iter(fleet.values())).observed_at, "0") for each in declared}
    return Recorded("demo", {**others, **fleet}, declared)
