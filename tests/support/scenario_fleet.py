"""The fleet of all scenarios: its inventory, its evidence, and one audit of both."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from xml.sax.saxutils import escape

from nested_kvm.evidence.bundle import Bundle, Failure, LibvirtAnswer
from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.evidence.libvirt.virsh import answer_of_virsh, without_virsh
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.redaction import without_secrets
from nested_kvm.evidence.sources import VM_HOLDERS, VMM_PROCESSES
from nested_kvm.inventory.load import load_inventory
from nested_kvm.inventory.target import Inventory, Target
from tests.support.qemu_processes import processes_of
from tests.support.scenario import RECORDED, DomainCase, Inside, Scenario, scenarios
from tests.support.started_pytest import started_pytest

ROOT = Path(__file__).parents[2]
URI = "qemu:///system"
_VIRSH = f"virsh -r -c {URI}"
UNREADABLE = "unreadable"
_CAPABILITIES = (
    "<capabilities><host><cpu><arch>x86_64</arch></cpu></host><guest><os_type>hvm</os_type><arch name='x86_64'>"
    "<emulator>/usr/bin/qemu-system-x86_64</emulator><domain type='qemu'/><domain type='kvm'/></arch></guest>"
    "</capabilities>"
)
_OBSERVED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FleetRun:
    """What the audit reported for the fleet. `results` is by scenario, subject ("" is the machine) and control."""

    exit_status: int
    output: str
    document: dict[str, Any]
    reports: Path
    results: dict[str, dict[tuple[str, str], dict[str, Any]]]

    def outcomes(self, scenario: str) -> dict[tuple[str, str], str]:
        return {
            key: " ".join(filter(None, (result["outcome"], result["cause"])))
            for key, result in self.results.get(scenario, {}).items()
        }

    def diagnoses(self) -> dict[str, dict[str, Any]]:
        return {diagnosis["target"]: diagnosis for diagnosis in self.document["diagnoses"]}

    def all(self) -> Iterator[dict[str, Any]]:
        yield from self.document["results"]


def run_fleet(folder: Path, *arguments: str, cases: Mapping[str, Scenario] | None = None) -> FleetRun:
    """Write inventory and evidence, and judge them as a user does: one run of pytest."""
    cases = scenarios() if cases is None else cases
    inventory_file = folder / "inventory.yaml"
    inventory_file.write_text(json.dumps(inventory(cases)))
    evidence = folder / "evidence"
    evidence.mkdir()
    for bundle in bundles(load_inventory(inventory_file), cases):
        write_bundle(evidence, bundle)
    return judge_evidence(evidence, folder / "reports", f"--inventory={inventory_file}", *arguments, cases=cases)


def judge_evidence(
    evidence: Path, reports: Path, *arguments: str, cases: Mapping[str, Scenario] | None = None
) -> FleetRun:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    words = (f"--evidence={evidence}", f"--report-dir={reports}", *arguments)
    done = started_pytest(*words, cwd=ROOT, env=environment)
    document = json.loads((reports / "latest" / "results.json").read_text())
    results: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    cases = scenarios() if cases is None else cases
    for result in document["results"]:
        name = result["target"].partition(".")[0]
        if _is_of_a_scenario(result["target"], cases) and not result["control"].startswith("SITE-"):
            subject = "" if result["subject"] == name else result["subject"].removeprefix(f"{name}.")
            results.setdefault(name, {})[subject, result["control"]] = result
    return FleetRun(done.returncode, done.stdout + done.stderr, document, reports, results)


def _is_of_a_scenario(target: str, cases: Mapping[str, Scenario]) -> bool:
    """A scenario's own machine, or a guest of it that was inspected from inside."""
    name, _, domain = target.partition(".")
    return name in cases and (not domain or cases[name].domains[domain].inside is not None)


def inventory(cases: Mapping[str, Scenario]) -> dict[str, Any]:
    return {"hosts": {name: _host(name, scenario) for name, scenario in cases.items()}}


def _host(name: str, scenario: Scenario) -> dict[str, Any]:
    declared = {domain: _guest(case) for domain, case in scenario.domains.items() if case.declared is not None}
    return {
        "level": scenario.level or scenario.machine.level,
        "libvirt": scenario.libvirt or scenario.machine.libvirt,
        **scenario.policy,
        "guests": {f"{name}.{domain}": {"domain": domain, **policy} for domain, policy in declared.items()},
    }


def _guest(case: DomainCase) -> dict[str, str]:
    address = {} if case.inside is None else {"address": "ssh://192.0.2.1"}
    return {**address, **(case.declared or {})}


def bundles(fleet: Inventory, cases: Mapping[str, Scenario]) -> Iterator[Bundle]:
    for name, scenario in cases.items():
        target = fleet.named(name)
        assert target is not None
        yield bundle(target, scenario)
        for guest in fleet.guests_of(name):
            inside = scenario.domains[guest.domain or ""].inside
            if inside is not None:
                yield _seen_inside(guest, inside, scenario)


def _seen_inside(guest: Target, inside: Inside, scenario: Scenario) -> Bundle:
    if inside.unreachable is not None:
        return Bundle(guest, _OBSERVED, "0", failure=Failure("TargetUnreachable", inside.unreachable))
    uuid = _uuid(guest.domain or "", scenario.domains[guest.domain or ""])
    return Bundle(guest, _OBSERVED, "0", without_secrets(inside.all_readings(uuid)))


def recorded_readings(scenario: Scenario) -> dict[str, Reading]:
    """What the machine answered: virsh about its domains, and their processes where the scenario has none."""
    return {**_domains(scenario), **scenario.all_readings(), **_processes(scenario)}


def _processes(scenario: Scenario) -> dict[str, Reading]:
    if scenario.readings.keys() & {VMM_PROCESSES, VM_HOLDERS}:
        return {}
    live = {}
    for name, domain in scenario.domains.items():
        uuid = _uuid(name, domain)
        if domain.live is not None:
            live[uuid] = _xml(name, uuid, domain, domain.live, domain_id=7)
    architecture = str(scenario.machine.readings["uname -m"]).strip()
    return {
        source: Reading(source, Status.OK, text, 0 if source == VM_HOLDERS else None)
        for source, text in processes_of(live, architecture).items()
    }


def bundle(target: Target, scenario: Scenario) -> Bundle:
    if scenario.unreachable is not None:
        return Bundle(target, _OBSERVED, "0", failure=Failure("TargetUnreachable", scenario.unreachable))
    readings = recorded_readings(scenario)
    libvirt = None
    if target.libvirt is not None:
        cut_before = LibvirtAnswer(URI, "virsh", not_asked="the probe's answer ended before virsh was asked")
        libvirt = cut_before if scenario.cut else answer_of_virsh(readings, URI)
    return Bundle(target, _OBSERVED, "0", without_secrets(without_virsh(readings)), scenario.cut, libvirt)


def _domains(scenario: Scenario) -> dict[str, Reading]:
    uuids = {name: _uuid(name, domain) for name, domain in scenario.domains.items()}
    texts = {
        f"{_VIRSH} list --all --uuid": "\n".join(uuids.values()),
        f"{_VIRSH} version --daemon": "Running hypervisor: QEMU 7.2.22\nRunning against daemon: 9.0.0",
        f"{_VIRSH} capabilities": _CAPABILITIES,
    }
    for name, domain in scenario.domains.items():
        uuid = uuids[name]
        texts[f"{_VIRSH} dominfo {uuid}"] = _dominfo(name, domain)
        texts[f"{_VIRSH} dumpxml --inactive {uuid}"] = _xml(name, uuid, domain, domain.inactive, domain_id=None)
        shown = (domain.inactive, None) if domain.live is None else (domain.live, 7)
        texts[f"{_VIRSH} dumpxml {uuid}"] = _xml(name, uuid, domain, shown[0], domain_id=shown[1])
        texts |= _saved(name, uuid, domain)
    with_snapshot = [uuids[name] for name, domain in scenario.domains.items() if domain.snapshots]
    texts[f"{_VIRSH} list --all --uuid --with-snapshot"] = "\n".join(with_snapshot)
    return {source: _answered(source, text) for source, text in texts.items()}


def _saved(name: str, uuid: str, domain: DomainCase) -> dict[str, str]:
    found = {f"{_VIRSH} snapshot-list --active --name {uuid}": "\n".join(domain.snapshots)}
    if domain.managed_save is not None:
        found[f"{_VIRSH} managedsave-dumpxml {uuid}"] = _xml(name, uuid, domain, domain.managed_save, domain_id=None)
    for snapshot, given in domain.snapshots.items():
        xml = _xml(name, uuid, domain, given, domain_id=None)
        if xml.startswith("<domain "):
            xml = f"<domainsnapshot><state>running</state><memory snapshot='internal'/>{xml}</domainsnapshot>"
        found[f"{_VIRSH} snapshot-dumpxml {uuid} --snapshotname={snapshot}"] = xml
    return found


def _answered(source: str, text: str) -> Reading:
    if text == UNREADABLE:
        return Reading(source, Status.FAILED, "error: operation forbidden: read only access prevents it", 1)
    return Reading(source, Status.OK, text, 0)


def _uuid(name: str, domain: DomainCase) -> str:
    return domain.uuid or str(uuid5(NAMESPACE_URL, name))


def _dominfo(name: str, domain: DomainCase) -> str:
    state = domain.state or ("shut off" if domain.live is None else "running")
    persistent = "yes" if domain.persistent else "no"
    saved = "no" if domain.managed_save is None else "yes"
    return f"Name:           {name}\nState:          {state}\nPersistent:     {persistent}\nManaged save:   {saved}"


def _xml(name: str, uuid: str, domain: DomainCase, given: str, *, domain_id: int | None) -> str:
    if given == UNREADABLE or given.startswith(("<domain", "<!DOCTYPE", "<?xml")):
        return given
    if given.endswith(".xml"):
        text = (RECORDED / given).read_text()
        return re.sub("<name>.*</name>", lambda _: f"<name>{escape(name)}</name>", text)
    number = "" if domain_id is None else f" id='{domain_id}'"
    return (
        f"<domain type='{domain.type}'{number} xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
        f"<name>{escape(name)}</name><uuid>{uuid}</uuid><vcpu>2</vcpu><os><type>hvm</type></os>"
        f"{given}</domain>"
    )
