"""Names of this machine as the remediation commands need them."""

import shlex

from nested_kvm.errors import ObservationError
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.modprobe.load_outcome import NextLoad
from nested_kvm.fleet.subject import Subject


def _vendor(subject: Subject) -> Vendor | None:
    try:
        return subject.machine.cpu.vendor
    except ObservationError:
        return None


def module_of(subject: Subject) -> str:
    """The name of the KVM module for the machine's CPU."""
    try:
        return subject.machine.kvm_module_name
    except ObservationError:
        return "kvm_intel"


def flag_of(subject: Subject) -> str:
    """The virtualization flag of the machine's CPU vendor."""
    vendor = _vendor(subject)
    return vendor.flag if vendor else "vmx"


def domain_name(subject: Subject) -> str:
    """The domain's name for a command line; its uuid where the name would break or disguise the command."""
    try:
        domain = subject.machine.domain(subject.domain or subject.name)
    except ObservationError:
        return subject.name
    return domain.uuid if domain.name.startswith("-") or not domain.name.isprintable() else domain.name


def next_load_of(subject: Subject) -> NextLoad | None:
    """The next load of the machine's KVM module; None: it could not be read."""
    try:
        return subject.machine.next_load
    except ObservationError:
        return None


def is_built_in(subject: Subject) -> bool:
    """Whether the machine's KVM module is built into its kernel."""
    load = next_load_of(subject)
    return load is not None and load.is_built_in


def running_matches_policy(subject: Subject) -> bool:
    """Whether nested is, in the running module, what the policy requires."""
    try:
        return subject.machine.kvm_module.nested is subject.policy.is_required
    except ObservationError:
        return False


def shut_down_first(subject: Subject) -> list[str]:
    """The running guests, which must be off before the module can be reloaded."""
    try:
        running = subject.machine.libvirt.running
    except ObservationError:
        running = ()
    lines = [f"virsh shutdown {shlex.quote(name)}  # must be off first" for name in running]
    return [*lines, "virsh list --name  # must print nothing before you continue"] if lines else []


def show_nested(module: str) -> str:
    """The command that prints the running value of nested."""
    return f"cat /sys/module/{module}/parameters/nested"


def reload_now(subject: Subject) -> list[str]:
    """The commands that reload the module and verify."""
    module = module_of(subject)
    return [f"modprobe -r {module} && modprobe {module}", show_nested(module)]
