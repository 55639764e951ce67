"""Remediation for a domain."""

import shlex
from collections.abc import Callable
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.facts.libvirt.saved_states import SavedCpu
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.cause import Cause
from nested_kvm.model.form import Form
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation.definition import (
    candidate_of,
    edit_file,
    remove_saved_states_of,
    run_under_kvm_in_file,
    start_again_as_in_file,
    stop_encrypting_in_file,
)
from nested_kvm.remediation.layers import expose_by, withhold_by
from nested_kvm.remediation.names import domain_name, flag_of

Remedy = Callable[[Subject, Finding], list[str]]


_CPU_ARGUMENTS: Final = {
    Cause.FLAG_NOT_GUARANTEED: "require={flag}",
    Cause.FEATURE_DISABLED: "require={flag}",
    Cause.HOST_MODEL_DROPS_SVM: "host-model,require={flag}",
    Cause.NAMED_MODEL_LACKS_FLAG: "host-passthrough,clearxml=yes",
    Cause.WRONG_VENDOR_FEATURE: "host-passthrough,clearxml=yes",
    Cause.DOMAIN_GIVES_FLAG: "disable={flag}",
}


def cpu_arguments(cause: Cause) -> str | None:
    """The `--cpu` argument for virt-xml(1), with `{flag}` for the vendor's flag; None: needs another remediation."""
    return _CPU_ARGUMENTS.get(cause)


def edit_domain(subject: Subject, finding: Finding) -> list[str]:
    """Change the domain's CPU definition."""
    flag = flag_of(subject)
    arguments = _CPU_ARGUMENTS[finding.cause].format(flag=flag)
    candidate = candidate_of(subject)
    if candidate is not None and candidate.form is Form.LIBVIRT and subject.machine.cpu.vendor is not None:
        return [
            f"virt-xml --edit --cpu {arguments} <{shlex.quote(candidate.file or '')}  # prints the corrected definition"
        ]
    if candidate is not None:
        return edit_file(subject, finding, candidate)
    if subject.machine.target.libvirt is None:
        return _restart_qemu(subject)
    domain = shlex.quote(domain_name(subject))
    return [
        f"virsh shutdown {domain}  # a reboot is not enough",
        f"virt-xml {domain} --edit --cpu {arguments}  # or: virsh edit {domain}",
        f"virsh start {domain}",
        f"virsh dumpxml {domain} | grep -A3 '<cpu'  # then, inside the guest: grep -cw {flag} /proc/cpuinfo",
    ]


def power_cycle(subject: Subject, _finding: Finding) -> list[str]:
    """Shut the domain down and start it."""
    candidate = candidate_of(subject)
    if candidate is not None:
        return start_again_as_in_file(candidate)
    domain = shlex.quote(domain_name(subject))
    return [f"virsh shutdown {domain}", f"virsh start {domain}", f"virsh dumpxml {domain} | grep -A3 '<cpu'"]


def stop_encrypting(subject: Subject, _finding: Finding) -> list[str]:
    """Take the memory encryption out of the definition."""
    candidate = candidate_of(subject)
    if candidate is not None:
        return stop_encrypting_in_file(candidate)
    if subject.machine.target.libvirt is None:
        return _restart_qemu(subject)
    domain = shlex.quote(domain_name(subject))
    return [
        f"virsh shutdown {domain}",
        f"virsh edit {domain}  # remove <launchSecurity>: a guest with encrypted memory cannot run KVM",
        f"virsh start {domain}",
        f"virsh dumpxml {domain} | grep launchSecurity  # must print nothing",
    ]


def compare_process(subject: Subject, finding: Finding) -> list[str]:
    """Show how the process was started and by which emulator, then start it again as it is defined."""
    domain = shlex.quote(domain_name(subject))
    shown = [f"tr '\\0' ' ' <{item.source}" for item in finding.evidence if item.source.startswith("/proc/")]
    return [
        *shown,
        f"virsh dumpxml {domain} | grep -E '<emulator|<cpu'  # an emulator that is a wrapper may change arguments",
        f"virsh shutdown {domain}",
        f"virsh start {domain}  # then inspect its process again",
    ]


def remove_saved_states(subject: Subject, finding: Finding) -> list[str]:
    """Restore a managed save and shut the guest down cleanly, so that no data is lost; delete the snapshots."""
    candidate = candidate_of(subject)
    if candidate is not None:
        return remove_saved_states_of(candidate, _old_states(subject))
    domain, flag = shlex.quote(domain_name(subject)), flag_of(subject)
    lines = []
    if any(item.source.startswith("virsh managedsave-dumpxml ") for item in finding.evidence):
        lines += [
            f"virsh start {domain}  # restores it with its old CPU; managedsave-remove would discard its memory",
            f"virsh shutdown {domain}  # wait until it is off",
            f"virsh start {domain}",
        ]
    if any(item.source.startswith("virsh snapshot-dumpxml ") for item in finding.evidence):
        lines += [f"virsh snapshot-list --active {domain}  # after a revert to one: virsh shutdown, virsh start"]
        names = (each.snapshot for each in _old_states(subject) if each.snapshot is not None)
        quoted = (shlex.quote(name) for name in names if name.isprintable())
        lines += [f"virsh snapshot-delete {domain} --snapshotname={name}" for name in quoted]
    verify = f"virsh dumpxml {domain} | grep -A3 '<cpu'  # then, inside the guest: grep -cw {flag} /proc/cpuinfo"
    return [*lines, verify]


def _old_states(subject: Subject) -> tuple[SavedCpu, ...]:
    """The saved states that violate the policy; snapshots with unprintable names are left to snapshot-list."""
    try:
        states, vendor = subject.machine.saved_states(subject.domain or ""), subject.machine.cpu.require_vendor()
        return subject.policy.either(states.lacking(vendor), states.having(vendor))
    except ObservationError:
        return ()


def run_under_kvm(subject: Subject, _finding: Finding) -> list[str]:
    """Change the domain type to kvm."""
    candidate = candidate_of(subject)
    if candidate is not None:
        return run_under_kvm_in_file(candidate)
    if subject.machine.target.libvirt is None:
        return _restart_qemu(subject)
    domain = shlex.quote(domain_name(subject))
    return [
        f"virsh shutdown {domain}",
        f"virsh edit {domain}  # <domain type='kvm'>",
        f"virsh start {domain}",
    ]


def resume(subject: Subject) -> list[str]:
    """Find out why a domain is paused, and let it run."""
    domain = shlex.quote(domain_name(subject))
    return [
        f"virsh domstate {domain} --reason  # who paused it: a user, a migration, an I/O error, or KVM itself",
        f"tail -n 20 /var/log/libvirt/qemu/{domain}.log; dmesg | grep -i kvm | tail -n 20",
        f"virsh resume {domain}  # where KVM paused it (internal error), another kernel or CPU mode has to come first",
    ]


def compare_uuids(subject: Subject, _finding: Finding) -> list[str]:
    """Find out which machine is at the guest's address."""
    domain = shlex.quote(subject.machine.target.domain or subject.name)
    return [
        f"virsh domuuid {domain}  # on its host",
        "cat /sys/class/dmi/id/product_uuid  # in the guest",
        f"virsh domifaddr {domain} --source agent  # on its host: the address for the inventory",
    ]


def stop_l2(subject: Subject, _finding: Finding) -> list[str]:
    """Wait for the L2s or shut them down, then verify in the guest and on its host."""
    lines = [
        "virsh list --name  # inside the guest: wait for each VM or shut it down, also those without libvirt",
        "ls -l /proc/[0-9]*/fd | grep anon_inode:kvm-vm  # inside the guest, as root: must print nothing",
    ]
    if subject.domain is None or subject.machine.target.libvirt is None:
        return lines
    domain = shlex.quote(domain_name(subject))
    verify = f"virsh -r domstats --vcpu {domain} | grep -E 'nested_run|guest_mode'  # on its host, twice: unchanged"
    return [*lines, verify]


def remove_flag(subject: Subject, finding: Finding) -> list[str]:
    """Restart each guest without the flag."""
    shown = [f"tr '\\0' ' ' <{item.source}  # {item.text}".replace("\n", " ") for item in finding.evidence]
    flag = flag_of(subject)
    return [
        *shown,
        f"# shut these guests down, remove {flag} from their CPU and start them: QEMU: -cpu MODEL,-{flag};",
        f"# libvirt: virt-xml NAME --edit --cpu disable={flag}; Proxmox: qm set ID --cpu with a named model",
        "ps -C kvm,qemu-kvm,qemu-system-x86_64 -o args= | grep -o -e '-cpu [^ ]*'  # verify what is running then",
    ]


def _restart_qemu(subject: Subject) -> list[str]:
    """Without libvirt the CPU is set by QEMU's arguments: restart it with the right ones."""
    name, flag = shlex.quote(domain_name(subject)), flag_of(subject)
    own = _own_words(subject, flag)
    if own:
        return [f"pgrep -a -f -- {name}  # how it was started", *own]
    cpu = subject.policy.either("-enable-kvm -cpu host", f"-cpu MODEL,-{flag}")
    proxmox = subject.policy.either("--cpu host", "--cpu with a named model")
    return [
        f"pgrep -a -f -- {name}  # how it was started",
        f"# shut it down and start it with {cpu} (Proxmox: qm set ID {proxmox}): a reboot is not enough",
        f"grep -cw {flag} /proc/cpuinfo  # inside the guest",
    ]


def _own_words(subject: Subject, flag: str) -> list[str]:
    """What changes the CPU in the words of another VMM than QEMU; empty where it is QEMU."""
    try:
        vmm = subject.machine.domain(subject.domain or subject.name).vmm
    except ObservationError:
        vmm = None
    if vmm is None:
        return []
    return subject.policy.either(expose_by(vmm, flag), withhold_by(vmm, flag))


def inspect_running_cpu(subject: Subject, _finding: Finding) -> list[str]:
    """Show the CPU that the guest runs with: the evidence does not explain why it lacks the flag."""
    domain = shlex.quote(subject.machine.target.domain or subject.name)
    return [
        f"virsh dumpxml {domain} | grep -A20 '<cpu'  # on its host: the running definition",
        "ps -ww -o args= -C qemu-system-x86_64,qemu-kvm | grep -o -- '-cpu [^ ]*'  # on its host",
        f"virsh shutdown {domain}",
        f"virsh start {domain}  # then, inside the guest: grep -cw {flag_of(subject)} /proc/cpuinfo",
    ]
