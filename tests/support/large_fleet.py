"""Evidence of a fleet of any size: hosts with one guest each, of which some have what is found in the field."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from tests.support.scenario import DomainCase, Inside, scenarios
from tests.support.scenario_fleet import URI, bundle

_GIVES: Final = "<cpu mode='host-passthrough'/>"
_DROPS: Final = "<cpu mode='host-model'/>"
_LIVE_WITHOUT: Final = "<cpu mode='custom'><model>EPYC</model><feature policy='disable' name='svm'/></cpu>"
_BLIND: Final = {"/proc/cpuinfo": "processor: 0\nvendor_id: AuthenticAMD\nflags: fpu lm hypervisor"}
_PASSES: Final = "amd-passes"
_TROUBLES: Final = (
    "amd-nested-y",
    "amd-nested-off",
    _PASSES,
    "amd-nested-off",
    _PASSES,
    "amd-later-basename-wins",
    _PASSES,
    _PASSES,
    "amd-unreachable",
    _PASSES,
)
"""What every second host has, in turn: about five results in a hundred are findings."""
_SICK_GUEST: Final = frozenset({_PASSES, "amd-later-basename-wins"})
"""With these it is the guest's CPU that is wrong, too."""


def write_fleet(folder: Path, hosts: int) -> None:
    """Write the evidence of so many hosts, and of a guest on each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(hosts):
        trouble = None if number % 2 else _TROUBLES[number // 2 % len(_TROUBLES)]
        for found in _host_and_guest(f"kvm-{number:04}", f"ci-{number:04}", trouble):
            write_bundle(folder, found)


def _host_and_guest(host: str, guest: str, trouble: str | None) -> Iterator[Bundle]:
    uuid = str(uuid5(NAMESPACE_URL, guest))
    domain = _domain(uuid, sick=trouble in _SICK_GUEST)
    scenario = scenarios()[trouble or _PASSES].model_copy(update={"domains": {guest: domain}, "policy": {}})
    seen = bundle(_target(host, TargetLevel.L0), scenario)
    yield seen
    inside = Inside(base="amd-l1", readings=_BLIND if trouble in _SICK_GUEST else {})
    target = replace(_target(guest, TargetLevel.L1), host=host, domain=guest, libvirt=None)
    yield Bundle(target, seen.observed_at, seen.version, inside.all_readings(uuid))


def _domain(uuid: str, *, sick: bool) -> DomainCase:
    inactive, live = (_DROPS, _LIVE_WITHOUT) if sick else (_GIVES, _GIVES)
    return DomainCase(declared={}, uuid=uuid, inactive=inactive, live=live, expect=["pass", "pass", "pass"])


def _target(name: str, level: TargetLevel) -> Target:
    return Target(name, level, Address.parse(f"ssh://root@{name}.example.net"), Policy(), libvirt=URI)
