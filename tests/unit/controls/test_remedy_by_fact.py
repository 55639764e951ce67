"""A remedy follows from facts, whatever words a finding has."""

import pytest

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Level
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import remediation
from tests.support.running_machines import OBSERVED, machine
from tests.support.scenario import scenarios
from tests.support.scenario_fleet import recorded_readings


@pytest.mark.parametrize("message", ["", "nothing of it", "no reboot: x of kvm is not kvm", "x" * 5000])
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("amd-option-of-kvm-refused", "# correct or delete the option of kvm in "),
        ("amd-option-of-another-type", "# correct or delete the option of kvm_amd in "),
        ("amd-nested-y", "sed -i.bak "),
    ],
)
def test_an_invalid_value_is_fixed_where_it_stands(name: str, remedy: str, message: str) -> None:
    target = machine("kvm-a").target
    found = Machine(Bundle(target, OBSERVED, "0", recorded_readings(scenarios()[name])))
    (subject,) = Fleet([found], [target]).subjects(Level.L0)
    finding = Finding(Cause.PERSISTED_VALUE_INVALID, message, *found.next_load.origin)
    assert remediation(subject, finding)[0].startswith(remedy)
