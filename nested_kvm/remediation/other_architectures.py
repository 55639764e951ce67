"""Remediation on s390x, POWER and arm64, where it differs from x86."""

from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.facts.modprobe.hpage import HPAGE
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.architecture import ARM64, POWER, S390X, Architecture, architecture_of
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import nested_value
from nested_kvm.remediation.boot_loader import change_cmdline
from nested_kvm.remediation.domain import Remedy


def remedy_by_architecture(subject: Subject, cause: Cause) -> Remedy | None:
    """The remediation specific to the architecture; None where the common one applies."""
    try:
        here = architecture_of(subject.machine.architecture)
    except ObservationError:
        return None
    return None if here is None else _REMEDIES.get((here, cause))


def _expose_sie(_subject: Subject, _finding: Finding) -> list[str]:
    return [
        "# sie comes from what this system runs on: the LPAR, z/VM, or a KVM host with nested=1 whose domain is",
        "# host-passthrough or host-model; then verify here:",
        "grep -cw sie /proc/cpuinfo",
    ]


def _choose_nested_or_hpage(subject: Subject, finding: Finding) -> list[str]:
    if HPAGE not in finding.message:
        return nested_value.fix_value(subject, finding)
    return [
        f"grep -rn {HPAGE} /etc/modprobe.d /proc/cmdline",
        f"# remove {HPAGE}= there: this kernel supports nested or {HPAGE}, not both; then:",
        f"modprobe --show-depends kvm  # must not name {HPAGE}",
    ]


def _switch_on_where_it_can(subject: Subject, finding: Finding) -> list[str]:
    if "nested=N" in finding.message:
        return nested_value.persist_and_reload(subject, finding)
    return [
        "grep -E '^(cpu|platform|MMU)' /proc/cpuinfo",
        "# no setting enables it here: it needs POWER9 or later without a hypervisor below, and the radix MMU",
    ]


def _boot_with_mode(subject: Subject, _finding: Finding) -> list[str]:
    mode = "kvm-arm.mode=nested"
    change = change_cmdline(subject, *subject.policy.either((mode, None), (None, mode)))
    return [
        "dmesg | grep 'kvm \\[1\\]'  # a CPU with FEAT_NV2 reports VHE+NV2",
        *change,
        "grep -o 'kvm-arm.mode=[^ ]*' /proc/cmdline  # after the next boot",
    ]


def _expose_el2(_subject: Subject, finding: Finding) -> list[str]:
    if any("requires GICv3" in item.text for item in finding.evidence):
        return [
            "# nesting needs a GICv3: another host for the guests; KVM itself starts without kvm-arm.mode=nested:",
            "dmesg | grep 'kvm \\[1\\]'",
        ]
    return [
        "dmesg | grep 'kvm \\[1\\]'  # 'HYP mode not available': this machine was started without EL2",
        "# bare metal: its firmware must start the kernel at EL2; a guest: its host must be Linux 6.16 or later,",
        "# booted with kvm-arm.mode=nested on a CPU with FEAT_NV2, and QEMU's -machine virt,virtualization=on; then:",
        "ls -l /dev/kvm",
    ]


def _install_emulator(_subject: Subject, _finding: Finding) -> list[str]:
    return [
        "apt-get install qemu-system || dnf install qemu-kvm || zypper install qemu",
        "command -v qemu-system-s390x qemu-system-ppc64 qemu-system-aarch64 qemu-kvm /usr/libexec/qemu-kvm",
    ]


_REMEDIES: Final[dict[tuple[Architecture, Cause], Remedy]] = {
    (ARM64, Cause.CMDLINE_OVERRIDES): _boot_with_mode,
    (S390X, Cause.CPU_LACKS_FLAG): _expose_sie,
    (S390X, Cause.FLAG_MISSING): _expose_sie,
    (S390X, Cause.PERSISTED_VALUE_INVALID): _choose_nested_or_hpage,
    (S390X, Cause.NO_HYPERVISOR_INSTALLED): _install_emulator,
    (POWER, Cause.NESTED_OFF): _switch_on_where_it_can,
    (POWER, Cause.NO_HYPERVISOR_INSTALLED): _install_emulator,
    (ARM64, Cause.NESTED_OFF): _boot_with_mode,
    (ARM64, Cause.NESTED_ON): _boot_with_mode,
    (ARM64, Cause.DEV_KVM_MISSING): _expose_el2,
    (ARM64, Cause.MODULE_NOT_LOADED): _expose_el2,
    (ARM64, Cause.MODULE_LOAD_FAILED): _expose_el2,
    (ARM64, Cause.NO_HYPERVISOR_INSTALLED): _install_emulator,
}
