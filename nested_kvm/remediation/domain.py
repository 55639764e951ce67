"""What mends a domain."""

import shlex
from collections.abc import Callable

from nested_kvm.remediation.places import domain_name, flag_of
from nested_kvm.subject import Subject
from nested_kvm.verdict import Finding

Remedy = Callable[[Subject, Finding], list[str]]


def edit_domain(arguments: str) -> Remedy:
    """Change the CPU definition by virt-xml(1); `{flag}` in the arguments is the vendor's flag."""

    def remedy(subject: Subject, _finding: Finding) -> list[str]:
        domain = shlex.quote(domain_name(subject))
        flag = flag_of(subject)
        return [
            f"virsh shutdown {domain}  # a reboot is not enough",
            f"virt-xml {domain} --edit --cpu {arguments.format(flag=flag)}  # or: virsh edit {domain}",
            f"virsh start {domain}",
            f"virsh dumpxml {domain} | grep -A3 '<cpu'  # then, inside the guest: grep -cw {flag} /proc/cpuinfo",
        ]

    return remedy


def power_cycle(subject: Subject, _finding: Finding) -> list[str]:
    """Start the domain anew."""
    domain = shlex.quote(domain_name(subject))
    return [f"virsh shutdown {domain}", f"virsh start {domain}", f"virsh dumpxml {domain} | grep -A3 '<cpu'"]


def run_under_kvm(subject: Subject, _finding: Finding) -> list[str]:
    """Change the domain's type."""
    domain = shlex.quote(domain_name(subject))
    return [
        f"virsh shutdown {domain}",
        f"virsh edit {domain}  # <domain type='kvm'>",
        f"virsh start {domain}",
    ]


def compare_uuids(subject: Subject, _finding: Finding) -> list[str]:
    """Find out which machine answers."""
    domain = shlex.quote(subject.machine.target.domain or subject.name)
    return [
        f"virsh domuuid {domain}  # on its host",
        "cat /sys/class/dmi/id/product_uuid  # in the guest",
        f"virsh domifaddr {domain} --source agent  # on its host: the address for the inventory",
    ]


def end_l2(subject: Subject, _finding: Finding) -> list[str]:
    """Wait for the L2s, or shut them down, and look again: where they run, and then from the host."""
    lines = [
        "virsh list --name  # inside the guest: wait for each, or virsh shutdown it; so too what runs without libvirt",
        "ls -l /proc/[0-9]*/fd | grep anon_inode:kvm-vm  # inside the guest, as root: must print nothing",
    ]
    if subject.domain is None:
        return lines
    domain = shlex.quote(domain_name(subject))
    verify = f"virsh -r domstats --vcpu {domain} | grep -E 'nested_run|guest_mode'  # on its host, twice: must not move"
    return [*lines, verify]
