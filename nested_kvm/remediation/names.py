"""The machine and the names at hand, as commands need them."""

import shlex

from nested_kvm.errors import ObservationError
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.fleet.subject import Subject


def _vendor(subject: Subject) -> Vendor | None:
    try:
        return subject.machine.cpu.vendor
    except ObservationError:
        return None


def module_of(subject: Subject) -> str:
    """The KVM module for the machine's CPU."""
    try:
        return subject.machine.kvm_module_name
    except ObservationError:
        return "kvm_intel"


def flag_of(subject: Subject) -> str:
    """The flag of the machine's vendor."""
    vendor = _vendor(subject)
    return vendor.flag if vendor else "vmx"


def domain_name(subject: Subject) -> str:
    """What to call it in a command: its uuid where its name would break or disguise the line."""
    try:
        domain = subject.machine.domain(subject.domain or subject.name)
    except ObservationError:
        return subject.name
    return domain.uuid if domain.name.startswith("-") or not domain.name.isprintable() else domain.name


def candidate_file(subject: Subject) -> str | None:
    """The file that is all there is of the domain yet."""
    try:
        return subject.machine.domain(subject.domain or subject.name).file
    except ObservationError:
        return None


def is_built_in(subject: Subject) -> bool:
    """Whether the machine's KVM module is part of its kernel."""
    try:
        return subject.machine.next_load.is_built_in
    except ObservationError:
        return False


def shut_down_first(subject: Subject) -> list[str]:
    """A module is reloaded only when no VM runs: say which do."""
    try:
        running = subject.machine.libvirt.running
    except ObservationError:
        running = ()
    lines = [f"virsh shutdown {shlex.quote(name)}  # must be off first" for name in running]
    return [*lines, "virsh list --name  # must print nothing before you go on"] if lines else []


def show_nested(module: str) -> str:
    """Print the running value."""
    return f"cat /sys/module/{module}/parameters/nested"


def reload_now(subject: Subject) -> list[str]:
    """Reload the module and verify."""
    module = module_of(subject)
    return [f"modprobe -r {module} && modprobe {module}", show_nested(module)]
