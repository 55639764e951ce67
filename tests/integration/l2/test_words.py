"""What QEMU and the kernel say, and whether it is KVM that refuses: else the evidence decides nothing."""

import pytest

from nested_kvm.evidence.l2 import BY_PYTHON, BY_QEMU
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kvm.l2_boot import l2_boot_of
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from tests.support.running_machines import machine

MISSING = Reading(BY_PYTHON, Status.MISSING)
REFUSALS = [
    "Could not access KVM kernel module: No such device\nqemu-system-x86_64: failed to initialize kvm: No such device",
    "qemu-kvm: failed to initialize KVM: Device or resource busy",
    "error: failed to set MSR 0x48e to 0xfff9fffe04006172",
    "KVM internal error. Suberror: 1\nemulation failure",
    "KVM: entry failed, hardware error 0x80000021",
    "error: kvm run failed Bad address",
    "qemu-system-x86_64: kvm_init_vcpu: kvm_get_vcpu failed (0): Invalid argument",
    "qemu-system-x86_64: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, slot=0: Invalid argument",
]
NO_REFUSALS = [
    "",
    "qemu-system-x86_64: -accel kvm: invalid accelerator kvm",
    "qemu-kvm: could not load PC BIOS 'bios-256k.bin'",
    "/usr/bin/kvm: 3: exec: qemu-system-x86_64: not found",
    "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory",
    "qemu-system-x86_64: -accel kvm: failed to initialize kvm: Operation not permitted",
    "qemu-kvm: unsupported machine type",
    "L2OK",
]


def answer(text: str, *, exit_status: int = 1, python: Reading = MISSING) -> Answer | None:
    qemu = Reading(BY_QEMU, Status.FAILED, text, exit_status)
    return l2_boot_of(machine("l1", qemu, python, level=TargetLevel.L1)).answers


@pytest.mark.parametrize("text", REFUSALS)
def test_kvms_own_refusal_is_told_from_the_words(text: str) -> None:
    assert answer(text) is Answer.NO


@pytest.mark.parametrize("text", NO_REFUSALS)
@pytest.mark.parametrize("exit_status", [0, 1, 127, 139])
def test_whatever_else_qemu_lacks_decides_nothing(text: str, exit_status: int) -> None:
    assert answer(text, exit_status=exit_status) is Answer.UNKNOWN


@pytest.mark.parametrize("text", ["", "xL2OK", "L2OK by a line that says more"])
def test_only_the_whole_answer_is_one(text: str) -> None:
    assert answer(text, exit_status=85) is Answer.UNKNOWN


def test_an_l2_without_qemu_is_no_proof_where_qemu_failed_without_a_reason() -> None:
    boots = Reading(BY_PYTHON, Status.FAILED, "L2OK", 85)
    assert answer("", python=boots) is Answer.UNKNOWN
    assert answer("qemu-kvm: unsupported machine type", python=boots) is Answer.YES


def test_python_decides_where_qemu_could_not_even_try() -> None:
    refused = Reading(BY_PYTHON, Status.FAILED, "KVM refuses: KVM_CREATE_VM: Operation not supported", 1)
    broken = Reading(BY_PYTHON, Status.FAILED, "SyntaxError: invalid syntax", 1)
    assert answer("qemu-kvm: unsupported machine type", python=refused) is Answer.NO
    assert answer("qemu-kvm: unsupported machine type", python=broken) is Answer.UNKNOWN


def test_words_that_would_steer_a_terminal_do_not_reach_the_message() -> None:
    words = "error: kvm run failed \x1b[2J\x1b]0;title\x07\u202e" + "x" * 5000
    qemu = Reading(BY_QEMU, Status.FAILED, words, 1)
    boot = l2_boot_of(machine("l1", qemu, MISSING, level=TargetLevel.L1))
    assert boot.reason.isprintable()
    assert len(boot.reason) < 400
