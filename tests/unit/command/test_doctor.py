"""What the doctor concludes from one machine."""

import json
from pathlib import Path

import jsonschema
import pytest

from nested_kvm.command import main
from nested_kvm.command.doctor import PROBE_SECONDS
from nested_kvm.controls.machine_diagnosis import MachineDiagnosis, Responsible, diagnose_machine
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import read_bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.fleet.machine import Machine
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from tests.support.recorded import record

DOCUMENT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "machine", "runs_vms", "guests_nest", "can_nest", "explanation", "cause", "responsible"],
    "properties": {
        "schema": {"const": "nested-kvm-compliance/doctor/1"},
        "machine": {"enum": ["host", "guest", None]},
        **{key: {"enum": ["yes", "no", "unknown"]} for key in ("runs_vms", "guests_nest", "can_nest")},
        "explanation": {"type": "string", "minLength": 1},
        "cause": {"enum": [None, *(cause.code for cause in Cause)]},
        "responsible": {"enum": [None, "machine", "firmware", "hypervisor"]},
        "remediation": {"type": "array", "items": {"type": "string"}},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
}


def host(tmp_path: Path, **readings: str | Reading) -> MachineDiagnosis:
    """Diagnose a host on AMD that complies, but for what is given."""
    sources = {"parameters": "/sys/module/kvm_amd/parameters", "modules": "/sys/module", "device": "/dev/kvm"}
    sources |= {"cpuinfo": "/proc/cpuinfo", "log": "dmesg", "depends": "modprobe --show-depends kvm_amd"}
    sources["conf"] = "/etc/modprobe.d/kvm.conf"
    given = {sources[name]: reading for name, reading in readings.items()}
    return diagnose_machine(Machine(bundle(record(tmp_path, "kvm-a", readings=given))))


def bundle(path: Path) -> Bundle:
    return read_bundle(path)


def test_a_host_that_complies_can_nest(tmp_path: Path) -> None:
    found = host(tmp_path)
    assert (found.is_guest, found.runs_vms, found.guests_nest, found.can_nest) == (False, *(Answer.YES,) * 3)
    assert found.responsible is None


def test_with_nested_off_the_host_runs_vms_that_cannot(tmp_path: Path) -> None:
    found = host(tmp_path, parameters="nested=0\nnpt=Y")
    assert (found.runs_vms, found.can_nest, found.cause) == (Answer.YES, Answer.NO, Cause.NESTED_OFF)
    assert found.responsible is Responsible.MACHINE
    assert found.remediation


def test_what_the_firmware_disables_is_fixed_there(tmp_path: Path) -> None:
    found = host(tmp_path, modules="kvm", log="kvm: disabled by bios")
    assert (found.can_nest, found.cause, found.responsible) == (
        Answer.NO,
        Cause.FIRMWARE_DISABLED,
        Responsible.FIRMWARE,
    )


def test_what_was_not_seen_is_neither_yes_nor_no(tmp_path: Path) -> None:
    found = host(tmp_path, device=Reading("", Status.UNREADABLE))
    assert found.can_nest is Answer.UNKNOWN
    assert "l0-module" in found.explanation


def test_a_reboot_that_takes_nesting_away_is_a_warning(tmp_path: Path) -> None:
    kvm = "insmod /lib/modules/6.1.0-28-amd64/kernel/arch/x86/kvm/kvm"
    found = host(tmp_path, depends=f"{kvm}.ko\n{kvm}-amd.ko nested=y", conf="options kvm_amd nested=y")
    assert found.can_nest is Answer.YES
    assert len(found.warnings) == 1
    assert "reboot" in found.warnings[0]


def test_the_document_for_programs_agrees_with_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, DOCUMENT)
    assert {0: "yes", 1: "no", 6: "unknown"}[status] == document["can_nest"]


def test_it_is_bounded_below_two_seconds_whatever_hangs() -> None:
    """Its one wait is the probe's; the rest is what starting Python costs."""
    assert PROBE_SECONDS <= 1.25
