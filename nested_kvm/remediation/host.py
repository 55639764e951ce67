"""Remediation on a host, or inside a guest as on any machine."""

import re
import shlex
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation.names import (
    flag_of,
    is_built_in,
    module_of,
    next_load_of,
    reload_now,
    running_matches_policy,
    show_nested,
    shut_down_first,
)
from nested_kvm.util.text import visible

OWN_FILE: Final = "/etc/modprobe.d/zz-nested-kvm.conf"
"""kmod sorts files by basename: this one is read after the usual names."""


def reload(subject: Subject, finding: Finding) -> list[str]:
    """Reload the module once no guest is running; first persist the policy's value where another one would load."""
    load = next_load_of(subject)
    if load is None or load.nested is subject.policy.is_required:
        return [*shut_down_first(subject), *reload_now(subject)]
    if running_matches_policy(subject):
        return [*persist(subject, finding), "# the running value matches the policy: no reload is needed"]
    return persist_and_reload(subject, finding)


def persist(subject: Subject, _finding: Finding) -> list[str]:
    """Write a modprobe.d line that is read last, and verify with kmod."""
    module = module_of(subject)
    value = subject.policy.either(1, 0)
    if is_built_in(subject):
        return [
            f"# {module} is built in, so modprobe.d has no effect: put {module}.nested={value} on the kernel",
            "# command line (/etc/default/grub), then: update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg",
            f"{show_nested(module)}  # after the next boot",
        ]
    return [
        f"printf 'options {module} nested={value}\\n' > {OWN_FILE}",
        f"modprobe --show-depends {module}  # the last nested= must be {value}, and all must be numbers",
    ]


def persist_and_reload(subject: Subject, finding: Finding) -> list[str]:
    """Write the modprobe.d line, then reload the module."""
    if is_built_in(subject):
        return persist(subject, finding)
    load = next_load_of(subject)
    if load is not None and load.fails:
        module = module_of(subject)
        return [
            f"# do not reload {module} yet: its configuration has an invalid value, and it would not load again;",
            "# fix that value first (L0-PER-01 names the line), then:",
            *shut_down_first(subject),
            *persist(subject, finding),
            *reload_now(subject),
        ]
    return [*shut_down_first(subject), *persist(subject, finding), *reload_now(subject)]


def fix_value(subject: Subject, finding: Finding) -> list[str]:
    """Replace the invalid value with one that is valid for every type of the parameter."""
    if any(item.source == sources.CMDLINE for item in finding.evidence):
        return fix_cmdline(subject, finding)
    load = next_load_of(subject)
    if load is not None and load.refused is not None:
        return _fix_option(load.refused, finding)
    value = subject.policy.either(1, 0)
    lines = []
    for item in finding.evidence:
        place = re.fullmatch(r"(/.+\.conf):(\d+)", item.source)
        if place:
            # \< and \> keep other parameters, such as nested_early_check, as they are.
            change = f"s/\\<nested\\>\\(=[^[:space:]]*\\)\\{{0,1\\}}/nested={value}/g"
            address = f"{place[2]}{{:a;{change};/\\\\$/{{n;ba}}}}" if _is_continued(subject, *place.groups()) else ""
            lines.append(f"sed -i.bak {shlex.quote(address or place[2] + change)} {shlex.quote(place[1])}")
    module = module_of(subject)
    return [*lines, f"modprobe --show-depends {module}  # every nested= in the output must be a number"]


def _fix_option(module: str, finding: Finding) -> list[str]:
    """Correct or delete an option other than nested."""
    return [
        *(f"# correct or delete the option of {module} in {visible(item.source)}" for item in finding.evidence),
        f"modinfo --parameters {module}  # the type of each parameter",
        f"modprobe --show-depends {module}  # the options that it will be given",
    ]


def _is_continued(subject: Subject, path: str, number: str) -> bool:
    """Whether the line ends in a backslash, so that the value may be on one of the lines after it."""
    reading = subject.machine.bundle.readings.get(path)
    lines = [] if reading is None else reading.text.split("\n")
    return int(number) <= len(lines) and lines[int(number) - 1].endswith("\\")


def fix_cmdline(subject: Subject, finding: Finding) -> list[str]:
    """Remove the entry from the next boot's command line."""
    module = module_of(subject)
    named = [item for item in finding.evidence if item.source.startswith("/") and "/modprobe.d/" not in item.source]
    others = [item for item in named if ".nested" not in item.text]
    if others:
        return [
            *(f"# remove {visible(item.text)} in {visible(item.source)}" for item in others),
            "update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg",
            "# takes effect at the next boot",
        ]
    return [
        f"grep -rn {module.replace('_', '[_-]')}.nested /etc/default/grub /etc/kernel/cmdline /boot/loader/entries",
        f"# remove {module}.nested= there, then: update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg",
        "# takes effect at the next boot",
    ]


def load_module(subject: Subject, _finding: Finding) -> list[str]:
    """Load the module, and read the kernel log."""
    module = module_of(subject)
    return [f"modprobe {module}", f"dmesg | grep -i kvm | tail -n 5; {show_nested(module)}"]


def create_device(subject: Subject, _finding: Finding) -> list[str]:
    """Move aside what is at /dev/kvm, and create the device."""
    return [
        "ls -l /dev/kvm  # if it exists and is not 10, 232: mv /dev/kvm /dev/kvm.aside",
        f"modprobe {module_of(subject)}  # creates the device; if the module was loaded already, use mknod:",
        "[ -c /dev/kvm ] || { mknod -m 660 /dev/kvm c 10 232 && chgrp kvm /dev/kvm; }",
        "ls -l /dev/kvm  # crw-rw---- root kvm 10, 232",
    ]


def enable_in_firmware(_subject: Subject, _finding: Finding) -> list[str]:
    """Hardware virtualization can only be enabled in the firmware."""
    return [
        "# shut this host down and enable VT-x (Intel) or SVM (AMD) in its firmware setup; then verify:",
        "grep -cwE 'vmx|svm' /proc/cpuinfo",
    ]


def expose_flag_below(subject: Subject, _finding: Finding) -> list[str]:
    """The flag can only be exposed by the hypervisor that this machine runs on."""
    return [
        f"# on the host of this machine: expose {flag_of(subject)} (libvirt: <cpu mode='host-passthrough'/>),",
        "# shut it down and start it (clouds offer this on some machine types only); then verify here:",
        f"grep -cw {flag_of(subject)} /proc/cpuinfo",
    ]


def withhold_flag(subject: Subject, _finding: Finding) -> list[str]:
    """The flag can only be hidden by the hypervisor that this machine runs on."""
    flag = flag_of(subject)
    return [
        f"# on the host of this machine: hide {flag} (libvirt: <feature policy='disable' name='{flag}'/>),",
        "# shut it down and start it; then verify here that this prints 0:",
        f"grep -cw {flag} /proc/cpuinfo",
    ]


def start_libvirt(_subject: Subject, _finding: Finding) -> list[str]:
    """Start the libvirt sockets."""
    return [
        "systemctl enable --now libvirtd.socket libvirtd-ro.socket || systemctl enable --now virtqemud-ro.socket",
        "virsh -r list --all",
        "# for a host without libvirt: set `libvirt: none` in the inventory",
    ]


def close_device(_subject: Subject, _finding: Finding) -> list[str]:
    """Set the mode and group of udev's default rule for /dev/kvm."""
    return [
        'printf \'KERNEL=="kvm", GROUP="kvm", MODE="0660"\\n\' > /etc/udev/rules.d/99-kvm-group.rules',
        "udevadm control --reload && udevadm trigger --name-match=kvm",
        "ls -l /dev/kvm",
    ]


def switch_assists_on(subject: Subject, finding: Finding) -> list[str]:
    """Enable the assists that are off."""
    names = [item.source.rpartition("/")[2] for item in finding.evidence if item.text in {"N", "0"}]
    options = " ".join(f"{name}=1" for name in names)
    write = f"printf 'options {module_of(subject)} {options}\\n' > /etc/modprobe.d/zz-kvm-assists.conf"
    return [*shut_down_first(subject), write, *reload_now(subject)]


def show_lines(subject: Subject, finding: Finding) -> list[str]:
    """Show each line: a person has to decide what was intended."""
    places = [re.fullmatch(r"(/[^:]+):(\d+)", item.source) for item in finding.evidence]
    show = [f"sed -n {place[2]}p {shlex.quote(place[1])}  # fix or delete it" for place in places if place]
    others = [item for item, place in zip(finding.evidence, places, strict=True) if place is None]
    remove = [f"# remove {visible(item.text)} in {visible(item.source)}" for item in others if item.source[:1] == "/"]
    return [*show, *remove, f"modprobe --show-depends {module_of(subject)}  # what kmod reads from the rest"]


def update_kernel(_subject: Subject, _finding: Finding) -> list[str]:
    """Update the kernel and the microcode, which bring the mitigations."""
    return [
        "grep . /sys/devices/system/cpu/vulnerabilities/itlb_multihit /sys/devices/system/cpu/vulnerabilities/l1tf",
        "# update the kernel and the CPU microcode, remove mitigations=off from the command line, and reboot",
    ]


def unload_other_hypervisor(subject: Subject, _finding: Finding) -> list[str]:
    """Unload the other hypervisor's modules, then load KVM."""
    return [
        "# stop the VMs of VirtualBox or VMware first",
        "modprobe -r vboxnetflt vboxnetadp vboxdrv vmmon",
        f"modprobe {module_of(subject)}",
    ]


def install_kernel(subject: Subject, _finding: Finding) -> list[str]:
    """Install a kernel that includes KVM in the guest."""
    return [
        f"modinfo -n {module_of(subject)}  # whether this kernel has the module",
        "# install the distribution's full kernel (not a minimal or cloud flavour without kvm) and reboot the guest",
    ]


def shut_down_on_host_shutdown(_subject: Subject, _finding: Finding) -> list[str]:
    """Have guests shut down, not saved, at host shutdown."""
    return [
        "file=/etc/default/libvirt-guests",
        '[ -e "$file" ] || [ ! -d /etc/sysconfig ] || file=/etc/sysconfig/libvirt-guests',
        'sed -i.bak \'/^[[:space:]]*ON_SHUTDOWN=/d\' "$file"; echo ON_SHUTDOWN=shutdown >> "$file"',
        "sed -i.bak '/^[[:space:]]*auto_shutdown_try_save/d' /etc/libvirt/qemu.conf",
        'grep -H ON_SHUTDOWN "$file"; grep auto_shutdown /etc/libvirt/qemu.conf  # read at the next shutdown',
    ]


def inspect_both_kernels(subject: Subject, _finding: Finding) -> list[str]:
    """Read both kernel logs; a newer kernel or host-passthrough usually fixes it."""
    return [
        "ls -l /dev/kvm; dmesg | grep -iE 'kvm|svm|vmx' | tail -n 20  # in the guest, and then on its host",
        f"grep . /sys/module/{module_of(subject)}/parameters/*  # on both: look for disabled assists",
        "# use host-passthrough, update the kernels of guest and host, shut the guest down and start it; then verify:",
        "qemu-system-x86_64 -accel kvm -cpu host -m 16 -display none -monitor stdio  # info status: running; quit",
    ]


def clear_capabilities_cache(subject: Subject, finding: Finding) -> list[str]:
    """Have libvirt query QEMU again; guests keep running."""
    remembered = [item.source for item in finding.evidence if item.source.startswith("/")]
    look = [] if remembered else ["ls -l /dev/kvm  # the account that libvirt runs QEMU as must be able to open it"]
    return [
        *look,
        *(f"rm -f {shlex.quote(path)}" for path in remembered),
        "systemctl try-restart libvirtd.service virtqemud.service  # guests keep running",
        "virsh domcapabilities --virttype kvm | grep \"'host-passthrough'\"  # makes libvirt query QEMU again",
        f"sed -n \"/<hostCPU type='kvm'/,/hostCPU>/p\" {sources.LIBVIRT_CACHE}/*.xml | grep \"'{flag_of(subject)}'\"",
    ]


def compare_hosts(subject: Subject, _finding: Finding) -> list[str]:
    """Show on each host what must match; hosts that cannot match, such as another CPU vendor, need another group."""
    module = module_of(subject)
    return [
        "# on each host of the group; make these match:",
        f"grep -m1 vendor_id /proc/cpuinfo; modprobe --show-depends {module} | tail -n 1",
        f"grep -H . /sys/module/{module}/parameters/*",
        "grep -n '^options kvm' /etc/modprobe.d/*.conf  # after a change: shut down all guests and reload the module",
        "# CPUs of different vendors cannot match: put such hosts into another `group` in the inventory",
    ]


def install_hypervisor(_subject: Subject, _finding: Finding) -> list[str]:
    """Install the distribution's QEMU."""
    return [
        "apt-get install qemu-system-x86 || dnf install qemu-kvm || zypper install qemu-x86",
        "command -v qemu-system-x86_64 qemu-kvm /usr/libexec/qemu-kvm",
    ]
