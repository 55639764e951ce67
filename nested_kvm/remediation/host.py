"""Remediation on a host, or inside a guest as on any machine."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.facts.modprobe.load_outcome import Authority, NextLoad
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.cause import Cause
from nested_kvm.model.layer import Layer
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.model.verdict import Evidence, Finding
from nested_kvm.remediation.boot_loader import change_cmdline
from nested_kvm.remediation.layers import expose_below, layer_of_machine, withhold_by
from nested_kvm.remediation.names import (
    flag_of,
    module_of,
    next_load_of,
    reload_now,
    running_matches_policy,
    show_nested,
    shut_down_first,
)
from nested_kvm.util.text import visible

_VENDORS: Final = ("/usr/lib/", "/lib/", "/usr/local/lib/", "/run/")
"""Where packages and other programs write: a file of the same name in /etc masks one there."""
OWN_FILE: Final = "/etc/modprobe.d/zz-nested-kvm.conf"
"""kmod sorts files by basename: this one is read after the usual names."""


def reload(subject: Subject, finding: Finding) -> list[str]:
    """Reload the module once no guest is running; first persist the policy's value where another one would load."""
    load = next_load_of(subject)
    if load is None or load.nested is subject.policy.is_required:
        return [*shut_down_first(subject), *reload_now(subject)]
    if running_matches_policy(subject):
        return [*_mend_next_load(subject, finding), "# the running value matches the policy: no reload is needed"]
    return persist_and_reload(subject, finding)


def _mend_next_load(subject: Subject, finding: Finding) -> list[str]:
    """What makes the next load right: the value that is invalid, the command line that wins, or another line."""
    load = next_load_of(subject)
    if load is not None and load.fails:
        return fix_value(subject, Finding(finding.cause, f"reboot: {load.reason}", *load.origin))
    if load is not None and (_is_overridden(subject, load) or load.is_built_in):
        return put_on_cmdline(subject, finding)
    return persist(subject, finding)


def _is_overridden(subject: Subject, load: NextLoad) -> bool:
    """Whether the command line, of this boot or the next, sets nested against the policy: no file can win over it."""
    if load.authority is Authority.COMMAND_LINE and load.nested is not subject.policy.is_required:
        return True
    try:
        words = subject.machine.next_cmdline.against(nested=subject.policy.is_required)
    except ObservationError:
        return False
    return any(".nested" in item.text for item in words)


def put_on_cmdline(subject: Subject, _finding: Finding) -> list[str]:
    """Have the next boot's command line set nested where no file does, and no longer set it otherwise."""
    module, load = module_of(subject), next_load_of(subject)
    is_built_in = load is not None and load.is_built_in
    wrong = load is not None and _is_overridden(subject, load)
    added = f"{module}.nested={subject.policy.either(1, 0)}" if is_built_in or not wrong else None
    removed = f"{module}.nested={subject.policy.either(0, 1)}" if wrong else None
    return [
        *([f"# {module} is built in, so modprobe.d has no effect"] if is_built_in else []),
        *change_cmdline(subject, added, removed),
        f"{show_nested(module)}  # after the next boot",
    ]


def persist(subject: Subject, finding: Finding) -> list[str]:
    """Write a modprobe.d line that is read last, and verify with kmod."""
    module = module_of(subject)
    value = subject.policy.either(1, 0)
    load = next_load_of(subject)
    if load is not None and (load.is_built_in or _is_overridden(subject, load) or _is_lost(subject)):
        return put_on_cmdline(subject, finding)
    if load is not None and load.fails:
        return fix_value(subject, Finding(finding.cause, f"reboot: {load.reason}", *load.origin))
    show = f"modprobe --show-depends {module}  # the last nested= must be {value}, and all must be numbers"
    changed = _lines_that_decide(subject, load)
    if changed:
        return [*_changed_lines(subject, changed), show]
    return [
        f"printf 'options {module} nested={value}\\n' > {OWN_FILE}",
        show,
    ]


def _lines_that_decide(subject: Subject, load: NextLoad | None) -> list[Evidence]:
    """The lines of modprobe.d that set nested otherwise: a line of another file beside them would contradict them."""
    if load is None or load.authority is not Authority.FILE or load.nested is None:
        return []
    is_right = load.nested is subject.policy.is_required
    lines = [*load.contradicted] if is_right else [*load.origin, *load.overridden]
    return [item for item in lines if _is_changeable(item)]


def _is_changeable(item: Evidence) -> bool:
    """Whether the line names the parameter in its own file; in /run it would be gone with the next boot."""
    return re.fullmatch(r"/(?!run/).+\.conf:\d+", item.source) is not None and "nested" in item.text


def _is_lost(subject: Subject) -> bool:
    """Whether a file in /etc would be gone after the next boot."""
    try:
        return bool(subject.machine.lasting_settings.is_etc_lost)
    except ObservationError:
        return False


def persist_and_reload(subject: Subject, finding: Finding) -> list[str]:
    """Make the next load right, then reload the module; where only a boot does that, leave the module as it is."""
    load = next_load_of(subject)
    if load is not None and (load.is_built_in or _is_overridden(subject, load)):
        return [
            *put_on_cmdline(subject, finding),
            f"# do not reload {module_of(subject)} before that boot: the current command line would win again",
        ]
    if load is not None and load.fails:
        module = module_of(subject)
        first = fix_value(subject, Finding(finding.cause, f"reboot: {load.reason}", *load.origin))
        if not any(line.startswith("sed ") for line in first):
            return [*first, f"# only then reload {module}: with that option it would not load again"]
        return [
            f"# {module} has an invalid value in its configuration, and would not load again: that comes first",
            *first,
            *shut_down_first(subject),
            *reload_now(subject),
        ]
    if load is not None and load.nested is None:
        return [
            *persist(subject, finding),
            f"# what the next load does is not known ({visible(load.reason)}): only then reload {module_of(subject)}",
        ]
    return [*persist(subject, finding), *shut_down_first(subject), *reload_now(subject)]


def fix_value(subject: Subject, finding: Finding) -> list[str]:
    """Replace the invalid value with one that is valid for every type of the parameter."""
    if any(item.source == sources.CMDLINE for item in finding.evidence):
        return fix_cmdline(subject, finding)
    load = next_load_of(subject)
    if load is not None and load.refused is not None:
        return _fix_option(load.refused, finding)
    module = module_of(subject)
    verify = f"modprobe --show-depends {module}  # every nested= in the output must be a number"
    return [*_changed_lines(subject, finding.evidence), verify]


def _changed_lines(subject: Subject, lines: Iterable[Evidence]) -> list[str]:
    """The commands that give nested the policy's value where each line sets it; a vendor's file is copied first."""
    value, commands = subject.policy.either(1, 0), []
    for item in dict.fromkeys(lines):
        place = re.fullmatch(r"(/.+\.conf):(\d+)", item.source)
        if place:
            # \< and \> keep other parameters, such as nested_early_check, as they are.
            change = f"s/\\<nested\\>\\(=[^[:space:]]*\\)\\{{0,1\\}}/nested={value}/g"
            address = f"{place[2]}{{:a;{change};/\\\\$/{{n;ba}}}}" if _is_continued(subject, *place.groups()) else ""
            script, path = shlex.quote(address or place[2] + change), place[1]
            own = f"/etc/modprobe.d/{path.rpartition('/')[2]}"
            in_place = not path.startswith(_VENDORS)
            to = "" if in_place else f" > {shlex.quote(own)}"
            commands.append(f"sed {'-i.bak ' if in_place else ''}{script} {shlex.quote(path)}{to}")
    return commands


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
        removed = ", ".join(dict.fromkeys(visible(item.text) for item in others))
        shown = [f"# {visible(item.source)} has {visible(item.text)}" for item in others]
        return [*shown, *change_cmdline(subject, None, removed), "# takes effect at the next boot"]
    words = list(dict.fromkeys(visible(item.text) for item in named if item.source != sources.CMDLINE))
    removed = ", ".join(words) or f"{module}.nested={subject.policy.either(0, 1)}"
    return [
        f"grep -o '{module.replace('_', '[_-]')}.nested[^ ]*' /proc/cmdline  # of this boot",
        *change_cmdline(subject, None, removed),
        "# takes effect at the next boot",
    ]


def _is_loaded(subject: Subject) -> bool:
    try:
        return subject.machine.kvm_module.is_loaded
    except ObservationError:
        return True


def create_device(subject: Subject, _finding: Finding) -> list[str]:
    """Load the module, which creates the device; move aside what is in its place."""
    if not _is_loaded(subject):
        return [
            f"# /dev/kvm comes with {module_of(subject)}, which is not loaded: see the finding about the module",
            "ls -l /dev/kvm  # a node without KVM in the kernel is no device",
        ]
    return [
        "ls -l /dev/kvm  # if it exists and is not 10, 232: mv /dev/kvm /dev/kvm.aside",
        "udevadm trigger --name-match=kvm --settle  # the module is loaded; where no udev creates the device, mknod:",
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
    return expose_below(subject, flag_of(subject))


def withhold_flag(subject: Subject, _finding: Finding) -> list[str]:
    """The flag can only be hidden by the hypervisor that this machine runs on."""
    flag = flag_of(subject)
    layer = layer_of_machine(subject.machine, subject.host)
    if layer not in {None, Layer.QEMU}:
        return withhold_by(layer, flag)
    return [
        f"# on the host of this machine: hide {flag} (libvirt: <feature policy='disable' name='{flag}'/>),",
        "# shut it down and start it; then verify here that this prints 0:",
        f"grep -cw {flag} /proc/cpuinfo",
    ]


def compare_level(_subject: Subject, _finding: Finding) -> list[str]:
    """Show what the machine is by each sign, and correct the inventory."""
    return [
        "grep -cw hypervisor /proc/cpuinfo; systemd-detect-virt; cat /sys/class/dmi/id/sys_vendor",
        "# a guest: declare it below its host in the inventory, or audit it with --level=L1; a physical machine: as a",
        "# host, or with --level=L0; a container: audit the machine that it runs on",
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


def keep_device_mode(_subject: Subject, _finding: Finding) -> list[str]:
    """Have the account in the device's group, which a rule gives access, instead of a mode that udev takes back."""
    return [
        "grep -rn 'KERNEL==\"kvm\"' /etc/udev/rules.d /usr/lib/udev/rules.d  # the rules; the last one counts",
        "# either add the accounts that run VMs to the device's group: usermod -aG kvm ACCOUNT; or, to keep the mode:",
        "# your own rule in /etc/udev/rules.d/99-kvm.rules; then:",
        "udevadm control --reload && udevadm trigger --name-match=kvm --settle && ls -l /dev/kvm",
    ]


def switch_assists_on(subject: Subject, finding: Finding) -> list[str]:
    """Enable the assists that are off."""
    names = [item.source.rpartition("/")[2] for item in finding.evidence if item.text in {"N", "0"}]
    options = " ".join(f"{name}=1" for name in names)
    write = f"printf 'options {module_of(subject)} {options}\\n' > /etc/modprobe.d/zz-kvm-assists.conf"
    load = next_load_of(subject)
    if load is None or load.nested is not subject.policy.is_required or load.is_built_in:
        mend = _mend_next_load(subject, finding)
        return [
            write,
            "# a reload now would change nested as well: make the next load right first, then reload:",
            *mend,
        ]
    return [write, *shut_down_first(subject), *reload_now(subject)]


def show_lines(subject: Subject, finding: Finding) -> list[str]:
    """Show each line: a person has to decide what was intended."""
    load = next_load_of(subject)
    if finding.cause is Cause.CONTRADICTED_LINE and load is not None and load.nested is not subject.policy.is_required:
        return _mend_what_wins(subject, finding, load)
    places = [re.fullmatch(r"(/[^:]+):(\d+)", item.source) for item in finding.evidence]
    show = [f"sed -n {place[2]}p {shlex.quote(place[1])}  # fix or delete it" for place in places if place]
    others = [item for item, place in zip(finding.evidence, places, strict=True) if place is None]
    remove = [f"# remove {visible(item.text)} in {visible(item.source)}" for item in others if item.source[:1] == "/"]
    return [*show, *remove, f"modprobe --show-depends {module_of(subject)}  # what kmod reads from the rest"]


def _mend_what_wins(subject: Subject, finding: Finding, load: NextLoad) -> list[str]:
    """The line that loses may be the right one: the one that wins is against the policy."""
    kept = [f"# keep {visible(item.source)}: {visible(item.text)}" for item in finding.evidence]
    return [
        *kept,
        f"# what wins over it is against the policy, or not valid: {visible(load.said_by)}",
        *_mend_next_load(subject, finding),
    ]


def use_other_hardware(_subject: Subject, _finding: Finding) -> list[str]:
    """Second-level paging is the CPU's own: nothing on this machine adds it."""
    return [
        "grep -owE 'ept|npt' /proc/cpuinfo | sort | uniq -c  # prints nothing: this CPU has none",
        "# run these guests on a host whose CPU has EPT (Intel, since 2008) or NPT (AMD, since 2007)",
    ]


def hold_the_cpu(_subject: Subject, _finding: Finding) -> list[str]:
    """Unload the other hypervisor; let KVM hold the CPU again."""
    return [
        "grep -rn enable_virt_at_load /etc/modprobe.d; grep -o 'kvm.enable_virt_at_load[^ ]*' /proc/cmdline",
        "# remove it there where KVM's guests count, or use one hypervisor only: stop the other's VMs, then:",
        "modprobe -r vboxnetflt vboxnetadp vboxdrv vmmon",
        "cat /sys/module/kvm/parameters/enable_virt_at_load  # after the next load of kvm: Y",
    ]


def allocate_page_tables(_subject: Subject, _finding: Finding) -> list[str]:
    """Have the kernel of s390x give every program page tables for guests."""
    return [
        "printf 'vm.allocate_pgste=1\\n' > /etc/sysctl.d/99-kvm.conf && sysctl -p /etc/sysctl.d/99-kvm.conf",
        '# or use a QEMU whose file is marked for it: readelf -lW "$(command -v qemu-system-s390x)" | grep PGSTE',
    ]


def update_kernel(_subject: Subject, _finding: Finding) -> list[str]:
    """Update the kernel and the microcode, which bring the mitigations."""
    return [
        "grep . /sys/devices/system/cpu/vulnerabilities/itlb_multihit /sys/devices/system/cpu/vulnerabilities/l1tf",
        "# update the kernel and the CPU microcode, remove mitigations=off from the command line, and reboot",
    ]


def close_escape(subject: Subject, finding: Finding) -> list[str]:
    """The two ways out: a fixed kernel that is booted, or nothing that guests reach."""
    return [
        "# either update the kernel; its package's changelog has to name the advisories:",
        "apt-get update && apt-get dist-upgrade || dnf upgrade --refresh 'kernel*' || zypper update 'kernel-*'",
        *boot_fixed_kernel(subject, finding),
        "# or withhold nesting from every guest until then:",
        *(_as_comments(switch_off(subject, finding)) if subject.policy.is_required else switch_off(subject, finding)),
    ]


def _as_comments(commands: list[str]) -> list[str]:
    """Commands that are shown and not run: they would violate the policy, so a person decides."""
    return [line if line.startswith("#") else f"# {line}" for line in commands]


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


def unload_other_hypervisor(subject: Subject, _finding: Finding) -> list[str]:
    """Unload the other hypervisor's modules, then load KVM."""
    return [
        "# stop the VMs of VirtualBox or VMware first",
        "modprobe -r vboxnetflt vboxnetadp vboxdrv vmmon",
        f"modprobe {module_of(subject)}",
    ]


def install_kernel(subject: Subject, _finding: Finding) -> list[str]:
    """Install a kernel that includes KVM."""
    return [
        f"modinfo -n {module_of(subject)}  # whether this kernel has the module",
        "# install the distribution's full kernel (not a minimal, real-time or cloud flavour without kvm), or one that",
        "# is built with CONFIG_KVM and the option for this CPU, and reboot",
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
