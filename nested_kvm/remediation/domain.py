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


def look_deeper(subject: Subject, _finding: Finding) -> list[str]:
    """Show what the guest is really run with: nothing that was read says why it lacks the flag."""
    domain = shlex.quote(subject.machine.target.domain or subject.name)
    return [
        f"virsh dumpxml {domain} | grep -A20 '<cpu'  # on its host: what libvirt runs it with",
        "ps -ww -o args= -C qemu-system-x86_64,qemu-kvm | grep -o -- '-cpu [^ ]*'  # on its host",
        f"virsh shutdown {domain}",
        f"virsh start {domain}  # then, inside the guest: grep -cw {flag_of(subject)} /proc/cpuinfo",
    ]
