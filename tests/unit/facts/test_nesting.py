"""Whether nesting is offered: the witnesses of each architecture, and that nothing else is ever taken for a yes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import ObservationError
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kvm.nesting import Nesting, nesting_of
from nested_kvm.model.answer import Answer
from nested_kvm.model.architecture import ARM64, KNOWN, POWER, S390X, X86, Architecture, architecture_of
from tests.support.bundles import any_status, any_text, bundle_of, ok

STARTED = "[    0.5] kvm [1]: VHE+NV2 mode initialized successfully"
BARE = "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nplatform\t: PowerNV\nMMU\t\t: Radix\n"


def module(nested: str | None = "1", *, is_loaded: bool = True) -> KvmModule:
    parameters = {} if nested is None else {"nested": nested}
    return KvmModule("kvm", is_loaded=is_loaded, is_built_in=False, parameters=parameters)


def on_arm64(cmdline: str, log: str, release: str = "6.18.5", status: Status = Status.OK) -> Nesting:
    readings = ok("/proc/cmdline", cmdline), ok("/proc/sys/kernel/osrelease", release), Reading("dmesg", status, log)
    return nesting_of(bundle_of(*readings), ARM64, module(None))


@pytest.mark.parametrize(
    ("cmdline", "log", "release", "offered"),
    [
        ("kvm-arm.mode=nested", STARTED, "6.18.5", Answer.YES),
        ("quiet kvm_arm.mode=nested", STARTED, "6.18.5", Answer.YES),
        ("kvm-arm.mode=none kvm-arm.mode=nested", STARTED, "6.16.0", Answer.YES),
        ("kvm-arm.mode=nested", STARTED, "6.15.9", Answer.UNKNOWN),
        ("kvm-arm.mode=nested", STARTED, "5.14.0-570.el9.aarch64", Answer.UNKNOWN),
        ("kvm-arm.mode=nested", STARTED, "", Answer.UNKNOWN),
        ("kvm-arm.mode=nested", "kvm [1]: VHE mode initialized successfully", "6.18.5", Answer.NO),
        ("kvm-arm.mode=nested", "kvm [1]: HYP mode not available", "6.18.5", Answer.NO),
        ("kvm-arm.mode=nested", "", "6.18.5", Answer.UNKNOWN),
        ("kvm-arm.mode=nested kvm-arm.mode=protected", STARTED, "6.18.5", Answer.NO),
        ("kvm-arm.mode", STARTED, "6.18.5", Answer.NO),
        ("", STARTED, "6.18.5", Answer.NO),
    ],
)
def test_on_arm64_it_is_asked_for_and_given(cmdline: str, log: str, release: str, offered: Answer) -> None:
    assert on_arm64(cmdline, log, release).offered is offered


def test_on_arm64_a_log_that_may_not_be_read_decides_nothing() -> None:
    assert on_arm64("kvm-arm.mode=nested", STARTED, status=Status.FAILED).offered is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("nested", "cpuinfo", "offered"),
    [
        ("Y", BARE, Answer.YES),
        ("N", BARE, Answer.NO),
        ("Y", BARE.replace("POWER9", "POWER11"), Answer.YES),
        ("Y", BARE.replace("POWER9", "POWER8E (raw)"), Answer.NO),
        ("Y", BARE.replace("Radix", "Hash"), Answer.NO),
        ("Y", BARE.replace("PowerNV", "pSeries"), Answer.UNKNOWN),
        ("Y", BARE.replace("POWER9", "e6500"), Answer.UNKNOWN),
        ("Y", "", Answer.UNKNOWN),
    ],
)
def test_on_power_the_parameter_is_only_half_of_it(nested: str, cpuinfo: str, offered: Answer) -> None:
    assert nesting_of(bundle_of(cpuinfo=cpuinfo), POWER, module(nested)).offered is offered


@pytest.mark.parametrize("architecture", [X86, S390X, None])
@pytest.mark.parametrize(("nested", "offered"), [("1", Answer.YES), ("Y", Answer.YES), ("0", Answer.NO)])
def test_elsewhere_the_parameter_decides(architecture: Architecture | None, nested: str, offered: Answer) -> None:
    assert nesting_of(bundle_of(), architecture, module(nested)).offered is offered


@pytest.mark.parametrize("architecture", [X86, S390X, POWER])
def test_a_parameter_that_was_not_read_is_no_answer(architecture: Architecture) -> None:
    with pytest.raises(ObservationError):
        nesting_of(bundle_of(cpuinfo=BARE), architecture, module(None))


@pytest.mark.parametrize("architecture", KNOWN)
def test_a_module_that_is_not_loaded_offers_nothing_for_sure(architecture: Architecture) -> None:
    assert nesting_of(bundle_of(), architecture, module(is_loaded=False)).offered is Answer.UNKNOWN


@given(any_text, any_text, any_text, any_status)
def test_no_other_text_is_taken_for_a_yes_on_arm64(cmdline: str, log: str, release: str, status: Status) -> None:
    assert on_arm64(cmdline, log, release, status).offered is not Answer.YES


@given(any_text)
def test_no_other_text_is_taken_for_a_yes_on_power(cpuinfo: str) -> None:
    assert nesting_of(bundle_of(cpuinfo=cpuinfo), POWER, module("Y")).offered is not Answer.YES


def test_no_machine_is_of_two_architectures() -> None:
    machines = [machine for each in KNOWN for machine in each.machines]
    assert len(machines) == len(set(machines))


@given(st.text())
def test_an_unknown_machine_has_no_architecture(machine: str) -> None:
    known = {each for architecture in KNOWN for each in architecture.machines}
    assert (architecture_of(machine) is None) is (machine not in known)
