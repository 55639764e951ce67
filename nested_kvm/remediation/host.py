"""Remediation on a host, or inside a guest as on any machine: firmware, kernel, libvirt and other hypervisors."""

import shlex

from nested_kvm.evidence import sources
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.layer import Layer
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation.layers import expose_below, layer_of_machine, withhold_by
from nested_kvm.remediation.names import (
    flag_of,
    module_of,
)


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
