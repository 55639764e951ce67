"""What `nested-kvm explain` knows."""

import subprocess
import sys
from pathlib import Path

import pytest

from nested_kvm.command import main
from nested_kvm.command.explain import published_failures
from nested_kvm.command.symptoms import SYMPTOMS, Symptom, symptoms_of
from nested_kvm.controls.catalogue import catalogue
from nested_kvm.model.cause import Cause

ROOT = Path(__file__).parents[3]
CONTROLS = catalogue(ROOT)
DECLARED = {cause for control in CONTROLS for cause in control.causes}


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_every_control_is_explained_with_its_causes(control: object, capsys: pytest.CaptureFixture[str]) -> None:
    identifier = control.id  # type: ignore[attr-defined]  # a control
    assert main(["explain", identifier.lower()]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{identifier} (")
    assert all(f"\n{cause.code}: " in text for cause in control.causes)  # type: ignore[attr-defined]  # a control


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.code)
def test_every_cause_is_explained_and_names_the_controls_that_find_it(
    cause: Cause, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", cause.code]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{cause.code}: {cause.explanation}")
    assert all(control.id in text for control in CONTROLS if cause in control.causes)


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("[    3.1] kvm: disabled by bios", "firmware-disabled"),
        ("kvm_intel: VMX not supported by CPU 0", "flag-missing"),
        ("kvm_amd: `y' invalid for parameter `nested'", "persisted-value-invalid"),
        ("modprobe: ERROR: could not insert 'kvm_amd': Invalid argument", "persisted-value-invalid"),
        ("modprobe: ERROR: could not insert 'kvm_intel': Input/output error", "other-hypervisor-owns-cpu"),
        ("modprobe: FATAL: Module kvm_amd is in use.", "reload-pending"),
        ("Could not access KVM kernel module: Permission denied", "dev-kvm-not-permitted"),
        (
            "qemu-system-x86_64: warning: host doesn't support requested feature: CPUID.80000001H:ECX.svm [bit 2]",
            "nested-off",
        ),
        (
            "error: the CPU is incompatible with host CPU: Host CPU does not provide required features: svm",
            "wrong-vendor-feature",
        ),
        (
            "error: invalid argument: could not find capabilities for arch=x86_64 domaintype=kvm",
            "libvirt-capabilities-stale",
        ),
        ("Cannot create VMM: Cannot open /dev/kvm. Error: No such device (os error 19)", "module-not-loaded"),
        ("qemu-system-x86_64: -accel kvm: failed to initialize kvm: No such device", "module-not-loaded"),
        ("ioctl(KVM_CREATE_VM) failed: 16 Device or resource busy", "other-hypervisor-owns-cpu"),
        ("qemu-system-x86_64: failed to initialize KVM: Device or resource busy", "other-hypervisor-owns-cpu"),
        ("kvm: enabling virtualization on CPU0 failed", "other-hypervisor-owns-cpu"),
        ("modprobe: ERROR: could not insert 'kvm_intel': Key was rejected by service", "module-load-failed"),
        (
            "kmod_search_moddep() could not open moddep file '/lib/modules/3.13.0-24-generic/modules.dep.bin'",
            "no-modules",
        ),
        ("CPU acceleration status: KVM requires a CPU that supports vmx or svm", "flag-missing"),
        ("/dev/kvm is not found: VT disabled in BIOS or KVM kernel module not loaded", "module-not-loaded"),
        (
            'error gathering device information while adding custom device "/dev/kvm": no such file or directory',
            "dev-kvm-missing",
        ),
        ("0/3 nodes are available: 1 Insufficient devices.kubevirt.io/kvm", "dev-kvm-missing"),
        ("Launcher.Sync failed: hardware emulation device '/dev/kvm' not present", "dev-kvm-missing"),
        (
            "Failed to validate KVM support: Error creating KVM object. [No such file or directory (os error 2)]",
            "dev-kvm-missing",
        ),
        ("Firecracker panicked at 'Error creating the Kvm object: Error(13)'", "dev-kvm-not-permitted"),
        ("TASK ERROR: KVM virtualisation configured, but not available.", "flag-missing"),
        ("FAIL (Only emulated CPUs are available, performance will be significantly limited)", "flag-missing"),
        ("FATA You need to enable virtualization in BIOS", "flag-missing"),
        ("wsl: Nested virtualization is not supported on this machine.", "flag-missing"),
        ("warning: TCG doesn't support requested feature: CPUID.01H:ECX.vmx [bit 5]", "domain-emulated"),
        ("KVM: entry failed, hardware error 0x80000021", "l2-does-not-boot"),
        ("Unexpected exit reason on vcpu run: KVM_EXIT_FAIL_ENTRY", "l2-does-not-boot"),
        ("KVM internal error. Suberror: 1", "paging-not-offered"),
        ("KVM: accessing unsupported EVMCS field 2032", "kernel-fault"),
        ("[    0.000000] KVM is not available. Ignoring kvm-arm.mode", "module-load-failed"),
        (
            "mach-virt: host kernel KVM does not support providing Virtualization extensions to the guest CPU",
            "nested-off",
        ),
        ("AMD-V is being used by another hypervisor (VERR_SVM_IN_USE).", "hypervisors-share-cpu"),
        ("VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE).", "hypervisors-share-cpu"),
    ],
)
def test_a_message_leads_to_its_causes(message: str, cause: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *message.split(" ")]) == 0
    assert f"  {cause}: " in capsys.readouterr().out


def test_each_message_is_found_by_itself_and_its_causes_by_a_control() -> None:
    for symptom in SYMPTOMS:
        assert symptom in set(symptoms_of(symptom.message.replace("…", " x ")))
        assert set(symptom.causes) <= DECLARED, symptom.message


def test_a_messages_parts_count_in_their_order_only() -> None:
    symptom = Symptom("could not insert 'kvm…Invalid argument", "", ())
    assert not symptom.matches("Invalid argument: could not insert 'kvm")


def test_a_message_that_was_published_leads_to_the_thread(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "nova's virt_type says qemu: every instance is emulated"]) == 0
    assert "CanonicalLtd/microstack/issues/88" in capsys.readouterr().out


def test_what_is_not_known_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "L0-PER-1"]) == 4
    assert "did you mean L0-PER-01?" in capsys.readouterr().err


def test_hostile_text_is_answered_in_printable_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "\x1b[31m" + "a" * 100_000]) == 4
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert len(error) < 500


def test_the_published_failures_are_those_of_the_tests() -> None:
    command = [sys.executable, "-m", "tests.support.field_json"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    fresh = (ROOT / "nested_kvm" / "command" / "field-failures.json").read_text()
    assert fresh == made, "run: python -m tests.support.field_json > nested_kvm/command/field-failures.json"
    assert len(published_failures()) > 30
