"""The commands that mend a finding, for the machine and names at hand. They are printed, never run.

Always in the safe order: what must be shut down first, then the change, then the reload or start, then the
command that verifies it.
"""

import re
import shlex
from collections.abc import Callable
from typing import Final

from nested_kvm.cause import Cause
from nested_kvm.errors import ObservationError
from nested_kvm.facts.cpu import Vendor
from nested_kvm.subject import Subject
from nested_kvm.verdict import Finding

OWN_FILE: Final = "/etc/modprobe.d/zz-nested-kvm.conf"
"""kmod sorts by basename: this name is read after the usual ones."""

Remedy = Callable[[Subject, Finding], list[str]]


def remediation(subject: Subject, finding: Finding) -> list[str]:
    """The commands, one a line, for the subject's machine; empty where nothing can be run there."""
    remedy = _REMEDIES.get(finding.cause)
    return [] if remedy is None else remedy(subject, finding)


def _vendor(subject: Subject) -> Vendor | None:
    try:
        return subject.machine.cpu.vendor
    except ObservationError:
        return None


def _module(subject: Subject) -> str:
    vendor = _vendor(subject)
    return vendor.module if vendor else "kvm_intel"


def _flag(subject: Subject) -> str:
    vendor = _vendor(subject)
    return vendor.flag if vendor else "vmx"


def _shut_down_first(subject: Subject) -> list[str]:
    """A module is reloaded only when no VM runs: say which do."""
    try:
        running = subject.machine.libvirt.running
    except ObservationError:
        running = ()
    lines = [f"virsh shutdown {shlex.quote(name)}  # must be off first" for name in running]
    return [*lines, "virsh list --name  # must print nothing before you go on"] if lines else []


def _reload_now(subject: Subject) -> list[str]:
    module = _module(subject)
    return [f"modprobe -r {module} && modprobe {module}", _show_nested(module)]


def _reload(subject: Subject, _finding: Finding) -> list[str]:
    return [*_shut_down_first(subject), *_reload_now(subject)]


def _show_nested(module: str) -> str:
    return f"cat /sys/module/{module}/parameters/nested"


def _persist(subject: Subject, _finding: Finding) -> list[str]:
    module = _module(subject)
    value = subject.policy.either(1, 0)
    return [
        f"printf 'options {module} nested={value}\\n' > {OWN_FILE}",
        f"modprobe --show-depends {module}  # its last nested= must be {value}",
    ]


def _persist_and_reload(subject: Subject, finding: Finding) -> list[str]:
    return [*_shut_down_first(subject), *_persist(subject, finding), *_reload_now(subject)]


def _mend_value(subject: Subject, finding: Finding) -> list[str]:
    """Give the very line that is wrong a value that every type of the parameter takes."""
    value = subject.policy.either(1, 0)
    lines = []
    for item in finding.evidence:
        place = re.fullmatch(r"(/\S+\.conf):(\d+)", item.source)
        if place:
            change = f"{place[2]}s/nested\\(=[^[:space:]]*\\)\\{{0,1\\}}/nested={value}/"
            lines.append(f"sed -i.bak {shlex.quote(change)} {shlex.quote(place[1])}")
    module = _module(subject)
    return [*lines, f"modprobe --show-depends {module}  # each nested= must be a number"]


def _mend_cmdline(subject: Subject, _finding: Finding) -> list[str]:
    module = _module(subject)
    return [
        f"grep -rn {module.replace('_', '[_-]')}.nested /etc/default/grub /etc/kernel/cmdline /boot/loader/entries",
        f"# remove {module}.nested= there, then: update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg",
        "# takes effect with the next boot",
    ]


def _load_module(subject: Subject, _finding: Finding) -> list[str]:
    module = _module(subject)
    return [f"modprobe {module}", f"dmesg | grep -i kvm | tail -n 5; {_show_nested(module)}"]


def _enable_in_firmware(_subject: Subject, _finding: Finding) -> list[str]:
    return [
        "# shut this host down and switch on VT-x (Intel) or SVM (AMD) in its firmware set-up; then verify:",
        "grep -cwE 'vmx|svm' /proc/cpuinfo",
    ]


def _ask_own_host(subject: Subject, _finding: Finding) -> list[str]:
    return [
        f"# on the host of this machine: give it {_flag(subject)} (libvirt: <cpu mode='host-passthrough'/>),",
        "# shut it down and start it; a cloud offers this for some machine types only; then verify here:",
        f"grep -cw {_flag(subject)} /proc/cpuinfo",
    ]


def _edit_domain(arguments: str) -> Remedy:
    def remedy(subject: Subject, _finding: Finding) -> list[str]:
        domain = shlex.quote(_domain_name(subject))
        flag = _flag(subject)
        return [
            f"virsh shutdown {domain}  # a reboot is not enough",
            f"virt-xml {domain} --edit --cpu {arguments.format(flag=flag)}  # or: virsh edit {domain}",
            f"virsh start {domain}",
            f"virsh dumpxml {domain} | grep -A3 '<cpu'  # then, inside the guest: grep -cw {flag} /proc/cpuinfo",
        ]

    return remedy


def _power_cycle(subject: Subject, _finding: Finding) -> list[str]:
    domain = shlex.quote(_domain_name(subject))
    return [f"virsh shutdown {domain}", f"virsh start {domain}", f"virsh dumpxml {domain} | grep -A3 '<cpu'"]


def _run_under_kvm(subject: Subject, _finding: Finding) -> list[str]:
    domain = shlex.quote(_domain_name(subject))
    return [
        f"virsh shutdown {domain}",
        f"virsh edit {domain}  # <domain type='kvm'>",
        f"virsh start {domain}",
    ]


def _domain_name(subject: Subject) -> str:
    try:
        return subject.machine.domain(subject.domain or subject.name).name
    except ObservationError:
        return subject.name


def _start_libvirt(_subject: Subject, _finding: Finding) -> list[str]:
    return [
        "systemctl enable --now libvirtd.socket libvirtd-ro.socket || systemctl enable --now virtqemud-ro.socket",
        "virsh -r list --all",
        "# a host without libvirt: say `libvirt: none` in the inventory",
    ]


def _install_kernel(_subject: Subject, _finding: Finding) -> list[str]:
    return [
        "modinfo -n kvm_intel kvm_amd  # what this kernel brings",
        "# install the distribution's full kernel (not a minimal or cloud flavour without kvm) and reboot the guest",
    ]


def _close_device(_subject: Subject, _finding: Finding) -> list[str]:
    return [
        'printf \'KERNEL=="kvm", GROUP="kvm", MODE="0660"\\n\' > /etc/udev/rules.d/99-kvm-group.rules',
        "udevadm control --reload && udevadm trigger --name-match=kvm",
        "ls -l /dev/kvm",
    ]


def _switch_assists_on(subject: Subject, finding: Finding) -> list[str]:
    names = [item.source.rpartition("/")[2] for item in finding.evidence if item.text in {"N", "0"}]
    options = " ".join(f"{name}=1" for name in names)
    write = f"printf 'options {_module(subject)} {options}\\n' > /etc/modprobe.d/zz-kvm-assists.conf"
    return [*_shut_down_first(subject), write, *_reload_now(subject)]


def _look_at_lines(subject: Subject, finding: Finding) -> list[str]:
    places = [re.fullmatch(r"(/[^:]+):(\d+)", item.source) for item in finding.evidence]
    show = [f"sed -n {place[2]}p {shlex.quote(place[1])}  # mend or remove it" for place in places if place]
    return [*show, f"modprobe --show-depends {_module(subject)}  # what kmod makes of the rest"]


def _update_kernel(_subject: Subject, _finding: Finding) -> list[str]:
    return [
        "grep . /sys/devices/system/cpu/vulnerabilities/itlb_multihit /sys/devices/system/cpu/vulnerabilities/l1tf",
        "# update the kernel and the CPU's microcode, take mitigations=off from the command line, and reboot",
    ]


def _compare_uuids(subject: Subject, _finding: Finding) -> list[str]:
    domain = shlex.quote(subject.machine.target.domain or subject.name)
    return [
        f"virsh domuuid {domain}  # on its host",
        "cat /sys/class/dmi/id/product_uuid  # in the guest",
        f"virsh domifaddr {domain} --source agent  # on its host: the address for the inventory",
    ]


def _replace_other(subject: Subject, _finding: Finding) -> list[str]:
    return [
        "# stop VirtualBox's or VMware's machines first",
        "modprobe -r vboxnetflt vboxnetadp vboxdrv vmmon",
        f"modprobe {_module(subject)}",
    ]


_REMEDIES: Final[dict[Cause, Remedy]] = {
    Cause.CPU_LACKS_FLAG: _enable_in_firmware,
    Cause.FIRMWARE_DISABLED: _enable_in_firmware,
    Cause.L0_IS_A_GUEST: _ask_own_host,
    Cause.DEV_KVM_MISSING: _load_module,
    Cause.MODULE_NOT_LOADED: _load_module,
    Cause.MODULE_LOAD_FAILED: _load_module,
    Cause.OTHER_HYPERVISOR_OWNS_CPU: _replace_other,
    Cause.NESTED_OFF: _persist_and_reload,
    Cause.NESTED_ON: _persist_and_reload,
    Cause.PERSISTED_VALUE_INVALID: _mend_value,
    Cause.PERSISTED_OFF: _persist,
    Cause.PERSISTED_ON: _persist,
    Cause.CMDLINE_OVERRIDES: _mend_cmdline,
    Cause.RELOAD_PENDING: _reload,
    Cause.NOT_EXPLICIT: _persist,
    Cause.DEV_KVM_WORLD_ACCESSIBLE: _close_device,
    Cause.ASSIST_OFF: _switch_assists_on,
    Cause.DEAD_LINE: _look_at_lines,
    Cause.CONTRADICTED_LINE: _look_at_lines,
    Cause.LOAD_BLOCKED: _look_at_lines,
    Cause.MITIGATION_MISSING: _update_kernel,
    Cause.FLAG_NOT_GUARANTEED: _edit_domain("require={flag}"),
    Cause.WRONG_GUEST: _compare_uuids,
    Cause.LIBVIRT_UNREACHABLE: _start_libvirt,
    Cause.DOMAIN_EMULATED: _run_under_kvm,
    Cause.FEATURE_DISABLED: _edit_domain("require={flag}"),
    Cause.HOST_MODEL_DROPS_SVM: _edit_domain("host-model,require={flag}"),
    Cause.NAMED_MODEL_LACKS_FLAG: _edit_domain("host-passthrough,clearxml=yes"),
    Cause.WRONG_VENDOR_FEATURE: _edit_domain("host-passthrough,clearxml=yes"),
    Cause.DOMAIN_GIVES_FLAG: _edit_domain("disable={flag}"),
    Cause.POWER_CYCLE_PENDING: _power_cycle,
    Cause.FLAG_MISSING: _ask_own_host,
    Cause.FLAG_PRESENT: _ask_own_host,
    Cause.GUEST_KERNEL_LACKS_KVM: _install_kernel,
}
