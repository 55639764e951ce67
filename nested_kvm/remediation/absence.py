"""Remediation where the KVM module is not loaded: by the reason that the kernel or the disk shows."""

import re
import shlex
from collections.abc import Callable
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.facts.kernel.refusal import RefusalKind
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.layer import Layer
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import device, domain, host
from nested_kvm.remediation.boot_loader import change_cmdline
from nested_kvm.remediation.layers import expose_below, layer_of_machine
from nested_kvm.remediation.names import flag_of, module_of, show_nested
from nested_kvm.util.text import visible

_Lines = Callable[[Subject, Finding], list[str]]


def load_module(subject: Subject, finding: Finding) -> list[str]:
    """Load the module now and at every boot, and read the kernel log; where it is loaded, create the device."""
    module = module_of(subject)
    if _is_loaded(subject):
        return device.create_device(subject, finding)
    if _lacks_flag(subject):
        return [
            f"# {module} cannot be loaded on a CPU without {flag_of(subject)}: that finding comes first; then:",
            f"modprobe {module}",
        ]
    return [
        f"modprobe {module}",
        f"lsmod | grep -w {module} || dmesg | grep -iE 'kvm|svm|vmx' | tail -n 5  # why the kernel refused it",
        f"printf '{module}\\n' > /etc/modules-load.d/kvm.conf  # where udev does not load it at boot",
    ]


def _is_loaded(subject: Subject) -> bool:
    try:
        return subject.machine.kvm_module.is_loaded
    except ObservationError:
        return False


def _lacks_flag(subject: Subject) -> bool:
    try:
        return not subject.machine.cpu.all_show_flag
    except ObservationError:
        return False


def load_at_boot(subject: Subject, finding: Finding) -> list[str]:
    """Remove the line that keeps it from loading; where there is none, name it where the boot reads it."""
    module = module_of(subject)
    lines = [found for item in finding.evidence if (found := re.fullmatch(r"(/.+\.conf):(\d+)", item.source))]
    others = [item for item in finding.evidence if item.source == sources.CMDLINE]
    if lines or others:
        return [
            *(
                f"sed -n {line[2]}p {shlex.quote(line[1])}  # delete it: nothing loads {module} beside it"
                for line in lines
            ),
            *(f"# remove {visible(item.text)} from the kernel's command line" for item in others),
        ]
    return [
        f"printf '{module}\\n' > /etc/modules-load.d/kvm.conf",
        "systemctl restart systemd-modules-load.service && systemctl status systemd-modules-load.service  # no error",
    ]


def after_refusal(subject: Subject, finding: Finding) -> list[str]:
    """Remove the reason for which the kernel refused the module."""
    try:
        kind = subject.machine.kvm_absence.refusal or RefusalKind.OTHER
    except ObservationError:
        kind = RefusalKind.OTHER
    return _BY_KIND[kind](subject, finding)


def withdraw_encryption(subject: Subject, finding: Finding) -> list[str]:
    """Start the guest without memory encryption: on its host, by its definition or by what else runs it."""
    if subject.domain is not None:
        return domain.stop_encrypting(subject, finding)
    return [
        "# on the host of this machine: start it without memory encryption (libvirt: remove <launchSecurity>; QEMU:",
        "# remove confidential-guest-support= from -machine; clouds: no confidential VM): KVM cannot run in it;",
        "# or run its VMs on another machine; then verify here that this prints nothing:",
        "dmesg | grep -iE 'encryption features active|tdx: guest'",
    ]


def reboot_into_installed(subject: Subject, _finding: Finding) -> list[str]:
    """Boot a kernel whose modules are on disk."""
    return [
        "uname -r; ls /lib/modules  # the running kernel, and those that are installed",
        "# shut the guests down and reboot into an installed kernel, or install the running one's modules again; then:",
        f"modprobe --show-depends {module_of(subject)}",
    ]


def use_another_system(subject: Subject, _finding: Finding) -> list[str]:
    """Without any module on disk the kernel has to be another one, or the machine below has to load it."""
    module = module_of(subject)
    if layer_of_machine(subject.machine) is Layer.WSL:
        return [
            "# in %UserProfile%\\.wslconfig: [wsl2] kernelModules= this kernel's modules.vhdx, or no kernel= at all:",
            "# WSL brings one; then: wsl --update; wsl --shutdown; and here:",
            f"modprobe {module} && ls -l /dev/kvm",
        ]
    return [
        f"# a container: load {module} on the machine that it runs on, and hand /dev/kvm to the container;",
        f"# a system that runs from its initrd: build it with {module}, or boot a kernel that has KVM built in; then:",
        "ls -l /dev/kvm",
    ]


def _enable_firmware(subject: Subject, finding: Finding) -> list[str]:
    return host.enable_in_firmware(subject, finding) if subject.machine.is_l0 else _from_below(subject, finding)


def _from_below(subject: Subject, _finding: Finding) -> list[str]:
    return expose_below(subject, flag_of(subject))


def _other_hardware(subject: Subject, finding: Finding) -> list[str]:
    if not subject.machine.is_l0:
        return _from_below(subject, finding)
    return [
        "# KVM needs what this CPU does not offer: other hardware, or another host for these guests; verify there:",
        "grep -cwE 'vmx|svm' /proc/cpuinfo",
    ]


def _complete_modules(subject: Subject, _finding: Finding) -> list[str]:
    module = module_of(subject)
    return [
        "depmod -a",
        f"modprobe -v {module} || dmesg | tail -n 5  # the symbol names the module that is missing, such as irqbypass",
        "# install the package that holds it (Ubuntu: linux-modules-extra of this kernel), or a kernel that is whole",
    ]


def _own_modules(subject: Subject, _finding: Finding) -> list[str]:
    module = module_of(subject)
    return [
        f"uname -r; modinfo --field vermagic {module}; modinfo --field signer {module}",
        "# install the modules of the running kernel, signed by its vendor, or reboot into the installed one; then:",
        f"modprobe {module}",
    ]


def _even_cpus(subject: Subject, _finding: Finding) -> list[str]:
    module = module_of(subject)
    return [
        "# the CPUs differ: a guest: shut it down and start it, so that all vCPUs are of one host, and hot-add none",
        "# after a migration; a host: the same microcode and firmware settings on every CPU; then:",
        f"modprobe {module} && {show_nested(module)}",
    ]


def _fix_option(subject: Subject, _finding: Finding) -> list[str]:
    module = module_of(subject)
    return [
        f"modinfo --parameters {module}  # the type of each parameter",
        f"grep -rn '^options kvm' /etc/modprobe.d; grep -o 'kvm[^ ]*' /proc/cmdline  # correct what {module} refuses",
        f"modprobe {module} && {show_nested(module)}",
    ]


def _turn_on(subject: Subject, _finding: Finding) -> list[str]:
    return [
        *change_cmdline(subject, "kvm-arm.mode=nested" if subject.machine.is_l0 else None, "kvm-arm.mode=none"),
        "ls -l /dev/kvm  # after the next boot",
    ]


def _read_log(subject: Subject, _finding: Finding) -> list[str]:
    module = module_of(subject)
    return [
        "dmesg | grep -iE 'kvm|svm|vmx'  # the kernel's reason",
        f"modprobe {module} && {show_nested(module)}  # once it is removed",
    ]


_BY_KIND: Final[dict[RefusalKind, _Lines]] = {
    RefusalKind.PARAMETER: _fix_option,
    RefusalKind.ENCRYPTION: withdraw_encryption,
    RefusalKind.FIRMWARE: _enable_firmware,
    RefusalKind.SYMBOL: _complete_modules,
    RefusalKind.FOREIGN: _own_modules,
    RefusalKind.INCONSISTENT: _even_cpus,
    RefusalKind.OCCUPIED: host.unload_other_hypervisor,
    RefusalKind.TURNED_OFF: _turn_on,
    RefusalKind.NO_EL2: _other_hardware,
    RefusalKind.NO_SUPPORT: _other_hardware,
    RefusalKind.OTHER: _read_log,
}
