"""Which CPU comes back from what was saved."""

from dataclasses import replace

import pytest

from nested_kvm.evidence.bundle import DomainRecord, SavedState
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition
from nested_kvm.facts.libvirt.saved_states import saved_states_of

RECORD = DomainRecord("ci-1", "11111111-2222-3333-4444-555555555555", "shut off")


def record_of(*states: SavedState, problem: str | None = None) -> DomainRecord:
    return DomainRecord(
        RECORD.name, RECORD.uuid, RECORD.state, has_managed_save=False, saved_states=states, saved_problem=problem
    )


def test_what_nobody_asked_for_is_no_proof_that_nothing_is_saved() -> None:
    assert saved_states_of(RECORD).undecided(Vendor.AMD)
    assert not saved_states_of(record_of()).undecided(Vendor.AMD)


def test_whether_there_is_a_managed_save_has_to_be_known() -> None:
    (reason,) = saved_states_of(replace(record_of(), has_managed_save=None)).undecided(Vendor.AMD)
    assert "managed save" in reason


def test_what_could_not_be_listed_leaves_it_open() -> None:
    (reason,) = saved_states_of(record_of(problem="libvirt is too old")).undecided(Vendor.AMD)
    assert "libvirt is too old" in reason


@pytest.mark.parametrize(
    ("cpu", "vendor", "lacks", "is_open"),
    [
        ("<cpu mode='custom'><model>kvm64-v1</model></cpu>", Vendor.AMD, True, False),
        ("<cpu mode='custom'><model>EPYC-v2</model><feature name='svm'/></cpu>", Vendor.AMD, False, False),
        ("<cpu mode='custom'><model>EPYC-v2</model><feature name='svm'/></cpu>", Vendor.INTEL, True, False),
        ("<cpu mode='host-passthrough'/>", Vendor.INTEL, False, True),
        ("<cpu mode='maximum'><feature policy='require' name='svm'/></cpu>", Vendor.AMD, False, True),
        ("<cpu mode='maximum'><feature policy='disable' name='svm'/></cpu>", Vendor.AMD, True, False),
        ("", Vendor.INTEL, True, False),
    ],
)
def test_a_saved_cpu_lacks_the_flag_or_has_it_or_does_not_tell(
    cpu: str, vendor: Vendor, *, lacks: bool, is_open: bool
) -> None:
    saved = saved_states_of(record_of(SavedState("a", f"<domain type='kvm'>{cpu}</domain>")))
    assert (bool(saved.lacking(vendor)), bool(saved.undecided(vendor))) == (lacks, is_open)
    assert bool(saved.having(vendor)) is not (lacks or is_open)


@pytest.mark.parametrize(
    ("live", "defined", "may"),
    [
        ("EPYC", "EPYC", True),
        ("EPYC-v1", "EPYC", True),
        ("EPYC-v2", "EPYC-IBPB", True),
        ("Skylake-Client-v3", "Skylake-Client-noTSX-IBRS", True),
        ("EPYC-v1", "EPYC-v2", False),
        ("EPYC-Rome", "EPYC", False),
        ("EPYC-Rome-v1", "EPYC", False),
        ("qemu64", "EPYC", False),
        (None, "EPYC", False),
    ],
)
def test_a_version_may_stand_for_the_model(live: str | None, defined: str, *, may: bool) -> None:
    assert CpuDefinition("custom", live).may_name_the_model(defined) is may
