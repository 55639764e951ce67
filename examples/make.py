"""Regenerate the demo's evidence, except for the lab's: `python -m examples.make`."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.target import Inventory, Target
from tests.support.scenario import Scenario, scenarios
from tests.support.scenario_fleet import bundles, inventory

FLEET: Final = Path(__file__).parent / "fleet"
SCENARIOS: Final = {
    "kvm-03": "amd-masked-by-null",
    "kvm-04": "amd-firmware-disabled",
    "kvm-05": "intel-multihit-vulnerable",
    "kvm-06": "amd-shutdown-suspends",
    "kvm-07": "amd-unreachable",
    "kvm-08": "intel-virtualbox-owns-cpu",
    "kvm-09": "amd-no-kmod",
    "kvm-10": "intel-passes",
    "dmz-1": "amd-forbidden-vmm-gives-flag",
    "z-1": "s390x-pair",
}
"""By host: the machine below tests/data/scenarios/ whose evidence it has."""


def main() -> None:
    """Write the evidence of every host that a scenario describes, and of its guests."""
    ours = load_inventory(FLEET / "inventory.yaml")
    for host, name in SCENARIOS.items():
        cases = {name: scenarios()[name]}
        for made in bundles(_as_declared(cases), cases):
            target = _renamed(made.target, [each for each in ours if host in {each.name, each.host}])
            failure = made.failure
            if failure is not None:
                failure = replace(failure, message=failure.message.replace("kvm-a", host))
            write_bundle(FLEET / "evidence", replace(made, target=target, failure=failure))


def _as_declared(cases: Mapping[str, Scenario]) -> Inventory:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "inventory.yaml"
        file.write_text(json.dumps(inventory(cases)))
        return load_inventory(file)


def _renamed(there: Target, candidates: list[Target]) -> Target:
    """Our name for a scenario's machine: the host itself, or the guest of the same domain."""
    return next(each for each in candidates if (each.host is None, each.domain) == (there.host is None, there.domain))


if __name__ == "__main__":
    main()
