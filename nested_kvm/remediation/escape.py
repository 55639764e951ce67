"""Remediation for a kernel with a published vulnerability: another kernel, or nothing that guests reach."""

from dataclasses import replace
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation.names import module_of, reload_now, shut_down_first
from nested_kvm.remediation.nested_value import persist, persist_and_reload

UPDATE_KERNEL: Final = (
    "apt-get update && apt-get dist-upgrade || dnf upgrade --refresh 'kernel*' || zypper update 'kernel-*'"
)


def update_kernel(_subject: Subject, _finding: Finding) -> list[str]:
    """Update the kernel and the microcode, which bring the mitigations."""
    return [
        "grep . /sys/devices/system/cpu/vulnerabilities/itlb_multihit /sys/devices/system/cpu/vulnerabilities/l1tf",
        "# update the kernel and the CPU microcode, remove mitigations=off from the command line, and reboot",
    ]


def close_escape(subject: Subject, finding: Finding) -> list[str]:
    """The two ways out: a fixed kernel that is booted, or nothing that guests reach."""
    pinned = next((each.text for each in finding.evidence if each.source == sources.GRUBENV), None)
    if pinned is not None:
        return start_this_kernel(pinned)
    return [
        "# either update the kernel; its package's changelog has to name the advisories:",
        UPDATE_KERNEL,
        *boot_fixed_kernel(subject, finding),
        "# or withhold nesting from every guest until then:",
        *(as_comments(switch_off(subject, finding)) if subject.policy.is_required else switch_off(subject, finding)),
    ]


def start_this_kernel(pinned: str) -> list[str]:
    """Take back that grub starts another kernel: the running one has the fix."""
    once = ["grub2-editenv - unset next_entry"] if pinned.startswith("next_entry=") else []
    return [
        *once,
        'grubby --set-default="/boot/vmlinuz-$(uname -r)"  # without grubby: grub2-set-default 0',
        "grub2-editenv - list  # saved_entry must name the kernel that runs now",
    ]


def as_comments(commands: list[str]) -> list[str]:
    """Commands that are shown and not run: they would violate the policy, so a person decides."""
    return [line if line.startswith("#") else f"# {line}" for line in commands]


def replace_kernel(subject: Subject, finding: Finding) -> list[str]:
    """Boot a kernel without the fault."""
    try:
        known = subject.machine.kernel_faults.all
    except ObservationError:
        known = ()
    return [
        *(f"# {each.effect}: not with {each.instead} ({each.source})" for each in known),
        UPDATE_KERNEL,
        *boot_fixed_kernel(subject, finding),
    ]


def boot_fixed_kernel(subject: Subject, _finding: Finding) -> list[str]:
    """Boot the kernel that is installed, once no guest runs."""
    return [*shut_down_first(subject), "systemctl reboot", "cat /proc/version  # after the boot: the kernel that runs"]


def switch_off(subject: Subject, finding: Finding) -> list[str]:
    """Write nested=0 and reload, whatever the policy; without EPT or NPT that withholds nothing."""
    off = [item.source.rpartition("/")[2] for item in finding.evidence if item.text in {"N", "n", "0"}]
    forbidden = replace(subject, policy=Policy(Nested.FORBIDDEN))
    name = next((each for each in off if each in {"ept", "npt"}), None)
    if name is None:
        return persist_and_reload(forbidden, finding)
    module = module_of(subject)
    return [
        *shut_down_first(subject),
        f"grep -rn {name}= /etc/modprobe.d /proc/cmdline  # remove it: with {name} off every guest reaches the fault",
        *persist(forbidden, finding),
        *reload_now(subject),
        f"cat /sys/module/{module}/parameters/{name}  # must be Y",
    ]
