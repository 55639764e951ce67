"""What mends a host, or a guest seen as the machine that it is."""

import re
import shlex
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation.names import flag_of, is_built_in, module_of, reload_now, show_nested, shut_down_first
from nested_kvm.util.text import visible

OWN_FILE: Final = "/etc/modprobe.d/zz-nested-kvm.conf"
"""kmod sorts by basename: this name is read after the usual ones."""


def reload(subject: Subject, _finding: Finding) -> list[str]:
    """Reload the module once no guest runs."""
    return [*shut_down_first(subject), *reload_now(subject)]


def persist(subject: Subject, _finding: Finding) -> list[str]:
    """Write a line that is read last, and ask kmod."""
    module = module_of(subject)
    value = subject.policy.either(1, 0)
    if is_built_in(subject):
        return [
            f"# {module} is built in, so modprobe.d counts for nothing: put {module}.nested={value} on the kernel",
            "# command line (/etc/default/grub), then: update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg",
            f"{show_nested(module)}  # after the next boot",
        ]
    return [
        f"printf 'options {module} nested={value}\\n' > {OWN_FILE}",
        f"modprobe --show-depends {module}  # its last nested= must be {value}",
    ]


def persist_and_reload(subject: Subject, finding: Finding) -> list[str]:
    """Write the line, then reload."""
    if is_built_in(subject):
        return persist(subject, finding)
    return [*shut_down_first(subject), *persist(subject, finding), *reload_now(subject)]


def mend_value(subject: Subject, finding: Finding) -> list[str]:
    """Give the very line that is wrong a value that every type of the parameter takes."""
    if any(item.source == sources.CMDLINE for item in finding.evidence):
        return mend_cmdline(subject, finding)
    option = re.search(r"reboot: \S+ of (\w+) is not", finding.message)
    if option is not None:
        return _mend_option(option[1], finding)
    value = subject.policy.either(1, 0)
    lines = []
    for item in finding.evidence:
        place = re.fullmatch(r"(/.+\.conf):(\d+)", item.source)
        if place:
            change = f"{place[2]}s/nested\\(=[^[:space:]]*\\)\\{{0,1\\}}/nested={value}/g"
            lines.append(f"sed -i.bak {shlex.quote(change)} {shlex.quote(place[1])}")
    module = module_of(subject)
    return [*lines, f"modprobe --show-depends {module}  # each nested= must be a number"]


def _mend_option(module: str, finding: Finding) -> list[str]:
    """Correct or delete an option other than nested."""
    return [
        *(f"# correct or delete the option of {module} in {visible(item.source)}" for item in finding.evidence),
        f"modinfo --parameters {module}  # the type of each parameter",
        f"modprobe --show-depends {module}  # the options that it will be given",
    ]


def mend_cmdline(subject: Subject, finding: Finding) -> list[str]:
    """Take the entry off the next boot's command line."""
    module = module_of(subject)
    others = [item for item in finding.evidence if ".nested" not in item.text and item.source.startswith("/")]
    if others:
        return [
            *(f"# remove {visible(item.text)} in {visible(item.source)}" for item in others),
            "update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg",
            "# takes effect with the next boot",
        ]
    return [
        f"grep -rn {module.replace('_', '[_-]')}.nested /etc/default/grub /etc/kernel/cmdline /boot/loader/entries",
        f"# remove {module}.nested= there, then: update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg",
        "# takes effect with the next boot",
    ]


def load_module(subject: Subject, _finding: Finding) -> list[str]:
    """Load the module, and read what the kernel says."""
    module = module_of(subject)
    return [f"modprobe {module}", f"dmesg | grep -i kvm | tail -n 5; {show_nested(module)}"]


def make_device(subject: Subject, _finding: Finding) -> list[str]:
    """Clear the way for the device, and have it made."""
    return [
        "ls -l /dev/kvm  # whatever stands there and is not 10, 232 is in the way: mv /dev/kvm /dev/kvm.aside",
        f"modprobe {module_of(subject)}  # makes the device; where the module was loaded already, mknod does:",
        "[ -c /dev/kvm ] || { mknod -m 660 /dev/kvm c 10 232 && chgrp kvm /dev/kvm; }",
        "ls -l /dev/kvm  # crw-rw---- root kvm 10, 232",
    ]


def enable_in_firmware(_subject: Subject, _finding: Finding) -> list[str]:
    """Only the firmware can give the flag back."""
    return [
        "# shut this host down and switch on VT-x (Intel) or SVM (AMD) in its firmware set-up; then verify:",
        "grep -cwE 'vmx|svm' /proc/cpuinfo",
    ]


def ask_own_host(subject: Subject, _finding: Finding) -> list[str]:
    """Only the host of this machine can give it the flag."""
    return [
        f"# on the host of this machine: give it {flag_of(subject)} (libvirt: <cpu mode='host-passthrough'/>),",
        "# shut it down and start it; a cloud offers this for some machine types only; then verify here:",
        f"grep -cw {flag_of(subject)} /proc/cpuinfo",
    ]


def withhold_flag(subject: Subject, _finding: Finding) -> list[str]:
    """Only the host of this machine can take the flag away."""
    flag = flag_of(subject)
    return [
        f"# on the host of this machine: take {flag} away (libvirt: <feature policy='disable' name='{flag}'/>),",
        "# shut it down and start it; then verify here that this prints 0:",
        f"grep -cw {flag} /proc/cpuinfo",
    ]


def start_libvirt(_subject: Subject, _finding: Finding) -> list[str]:
    """Start libvirt's sockets."""
    return [
        "systemctl enable --now libvirtd.socket libvirtd-ro.socket || systemctl enable --now virtqemud-ro.socket",
        "virsh -r list --all",
        "# a host without libvirt: say `libvirt: none` in the inventory",
    ]


def close_device(_subject: Subject, _finding: Finding) -> list[str]:
    """Give the device the mode that udev's own rule gives it."""
    return [
        'printf \'KERNEL=="kvm", GROUP="kvm", MODE="0660"\\n\' > /etc/udev/rules.d/99-kvm-group.rules',
        "udevadm control --reload && udevadm trigger --name-match=kvm",
        "ls -l /dev/kvm",
    ]


def switch_assists_on(subject: Subject, finding: Finding) -> list[str]:
    """Switch each assist on that is off."""
    names = [item.source.rpartition("/")[2] for item in finding.evidence if item.text in {"N", "0"}]
    options = " ".join(f"{name}=1" for name in names)
    write = f"printf 'options {module_of(subject)} {options}\\n' > /etc/modprobe.d/zz-kvm-assists.conf"
    return [*shut_down_first(subject), write, *reload_now(subject)]


def look_at_lines(subject: Subject, finding: Finding) -> list[str]:
    """Show each line: only its author knows what was meant."""
    places = [re.fullmatch(r"(/[^:]+):(\d+)", item.source) for item in finding.evidence]
    show = [f"sed -n {place[2]}p {shlex.quote(place[1])}  # mend or remove it" for place in places if place]
    others = [item for item, place in zip(finding.evidence, places, strict=True) if place is None]
    remove = [f"# remove {visible(item.text)} in {visible(item.source)}" for item in others if item.source[:1] == "/"]
    return [*show, *remove, f"modprobe --show-depends {module_of(subject)}  # what kmod makes of the rest"]


def update_kernel(_subject: Subject, _finding: Finding) -> list[str]:
    """Mitigations come with the kernel and the microcode."""
    return [
        "grep . /sys/devices/system/cpu/vulnerabilities/itlb_multihit /sys/devices/system/cpu/vulnerabilities/l1tf",
        "# update the kernel and the CPU's microcode, take mitigations=off from the command line, and reboot",
    ]


def replace_other(subject: Subject, _finding: Finding) -> list[str]:
    """Take the CPU back from the other hypervisor."""
    return [
        "# stop VirtualBox's or VMware's machines first",
        "modprobe -r vboxnetflt vboxnetadp vboxdrv vmmon",
        f"modprobe {module_of(subject)}",
    ]


def install_kernel(subject: Subject, _finding: Finding) -> list[str]:
    """The guest needs a kernel that has KVM."""
    return [
        f"modinfo -n {module_of(subject)}  # what this kernel brings",
        "# install the distribution's full kernel (not a minimal or cloud flavour without kvm) and reboot the guest",
    ]


def shut_guests_down(_subject: Subject, _finding: Finding) -> list[str]:
    """Have guests shut down, not saved."""
    return [
        "file=/etc/default/libvirt-guests",
        '[ -e "$file" ] || [ ! -d /etc/sysconfig ] || file=/etc/sysconfig/libvirt-guests',
        'sed -i.bak \'/^[[:space:]]*ON_SHUTDOWN=/d\' "$file"; echo ON_SHUTDOWN=shutdown >> "$file"',
        "sed -i.bak '/^[[:space:]]*auto_shutdown_try_save/d' /etc/libvirt/qemu.conf",
        'grep -H ON_SHUTDOWN "$file"; grep auto_shutdown /etc/libvirt/qemu.conf  # read at the next shutdown',
    ]


def ask_both_kernels(subject: Subject, _finding: Finding) -> list[str]:
    """Only the two kernels know why; what mends it mostly is a newer one, or the host's own CPU model."""
    return [
        "ls -l /dev/kvm; dmesg | grep -iE 'kvm|svm|vmx' | tail -n 20  # in the guest, and then on its host",
        f"grep . /sys/module/{module_of(subject)}/parameters/*  # on both: what is switched off",
        "# give the guest host-passthrough, update its kernel and its host's, shut it down and start it; then verify:",
        "qemu-system-x86_64 -accel kvm -cpu host -m 16 -display none -monitor stdio  # info status: running; quit",
    ]


def forget_capabilities(subject: Subject, finding: Finding) -> list[str]:
    """Have libvirt ask QEMU anew. Its guests run on meanwhile."""
    remembered = [item.source for item in finding.evidence if item.source.startswith("/")]
    look = [] if remembered else ["ls -l /dev/kvm  # the account that libvirt runs QEMU as must be able to open it"]
    return [
        *look,
        *(f"rm -f {shlex.quote(path)}" for path in remembered),
        "systemctl try-restart libvirtd.service virtqemud.service  # guests run on",
        "virsh domcapabilities --virttype kvm | grep \"'host-passthrough'\"  # has libvirt ask QEMU anew",
        f"sed -n \"/<hostCPU type='kvm'/,/hostCPU>/p\" {sources.LIBVIRT_CACHE}/*.xml | grep \"'{flag_of(subject)}'\"",
    ]


def compare_hosts(subject: Subject, _finding: Finding) -> list[str]:
    """Show on each host what is to be the same; what cannot be, such as the CPU's vendor, takes another group."""
    module = module_of(subject)
    return [
        "# on each host of the group; what differs is to be made the same:",
        f"grep -m1 vendor_id /proc/cpuinfo; modprobe --show-depends {module} | tail -n 1",
        f"grep -H . /sys/module/{module}/parameters/*",
        "grep -n '^options kvm' /etc/modprobe.d/*.conf  # after a change: reload the module with every guest off",
        "# CPUs of two vendors cannot agree: give such hosts another `group` in the inventory",
    ]


def install_hypervisor(_subject: Subject, _finding: Finding) -> list[str]:
    """Install the distribution's QEMU."""
    return [
        "apt-get install qemu-system-x86 || dnf install qemu-kvm || zypper install qemu-x86",
        "command -v qemu-system-x86_64 qemu-kvm /usr/libexec/qemu-kvm",
    ]
