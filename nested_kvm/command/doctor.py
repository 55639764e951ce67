"""`nested-kvm doctor`: can this machine nest, can its VMs, and if not, where is that fixed?

One probe with a short time limit, no inventory, no libvirt: it is done within two seconds, whatever hangs.
"""

import json
import sys
from collections.abc import Iterator
from typing import Final

from nested_kvm.connection import Settings, connect
from nested_kvm.controls.machine_diagnosis import MachineDiagnosis, Responsible, diagnose_machine
from nested_kvm.errors import ObservationError
from nested_kvm.evidence.observe import observe
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Policy
from nested_kvm.util.text import visible

SCHEMA: Final = "nested-kvm-compliance/doctor/1"
PROBE_SECONDS: Final = 1.2
"""Seconds for the probe; the rest of the two goes to starting Python."""
_STATUS: Final = {Answer.YES: 0, Answer.NO: 1, Answer.UNKNOWN: 6}
_WHERE: Final = {
    Responsible.MACHINE: "this machine",
    Responsible.FIRMWARE: "this machine's firmware or CPU",
    Responsible.HYPERVISOR: "the hypervisor that runs this machine: nothing in here can change it",
}


def doctor(*, as_json: bool) -> int:
    """Print the diagnosis of this machine, and return the exit status."""
    found = _diagnosis()
    sys.stdout.write(_as_json(found) if as_json else "".join(f"{visible(line)}\n" for line in _lines(found)))
    return _STATUS[found.can_nest]


def _diagnosis() -> MachineDiagnosis:
    address, settings = Address.parse("local://"), Settings(probe_timeout=PROBE_SECONDS)
    target = Target("this machine", TargetLevel.AUTO, address, Policy(), libvirt=None)
    connection = connect(address, settings, name=target.name)
    try:
        return diagnose_machine(Machine(observe(target, connection, settings)))
    except ObservationError as error:
        return MachineDiagnosis(
            is_guest=None, runs_vms=Answer.UNKNOWN, guests_nest=Answer.UNKNOWN, explanation=str(error)
        )
    finally:
        connection.close()


def _lines(found: MachineDiagnosis) -> Iterator[str]:
    kinds = {True: "a virtual machine", False: "a host", None: "not known"}
    yield f"this machine is:             {kinds[found.is_guest]}"
    yield f"it can run VMs under KVM:    {found.runs_vms}"
    yield f"its VMs can run VMs as well: {found.guests_nest}"
    yield f"why: {found.explanation}"
    yield from (f"but: {warning}" for warning in found.warnings)
    if found.responsible is not None:
        yield f"to fix in: {_WHERE[found.responsible]}"
    yield from (f"  {line}" for line in found.remediation)


def _as_json(found: MachineDiagnosis) -> str:
    kinds = {True: "guest", False: "host", None: None}
    document = {
        "schema": SCHEMA,
        "machine": kinds[found.is_guest],
        "runs_vms": found.runs_vms,
        "guests_nest": found.guests_nest,
        "can_nest": found.can_nest,
        "explanation": found.explanation,
        "cause": None if found.cause is None else found.cause.code,
        "responsible": found.responsible,
        "remediation": list(found.remediation),
        "warnings": list(found.warnings),
    }
    return json.dumps(document, indent=2) + "\n"
