"""What to change in the file of a guest that is not deployed yet, in the words of its form."""

import shlex
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.facts.libvirt.saved_states import SavedCpu
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.cause import Cause
from nested_kvm.model.form import Form
from nested_kvm.model.verdict import Finding

_WITHOUT: Final = {
    Form.LIBVIRT: "<feature policy='disable' name='{flag}'/> in its <cpu>",
    Form.KUBEVIRT: "{{name: {flag}, policy: disable}} in domain.cpu.features",
    Form.PROXMOX: "`cpu: host,flags=-nested-virt` (Proxmox VE 9.1), or a named model",
    Form.INCUS: "`raw.qemu: -cpu host,-{flag}`",
    Form.TERRAFORM: 'a named model, or {{name = "{flag}", policy = "disable"}} in cpu.features (provider 0.9)',
    Form.NOVA: "`cpu_model_extra_flags = -{flag}`",
    Form.VIRT_INSTALL: "`--cpu host-passthrough,disable={flag}`",
    Form.KCLI: "`nested: false` and a named `cpumodel`",
}
_WITH: Final = {
    Form.LIBVIRT: "<cpu mode='host-passthrough'/>, or <feature policy='require' name='{flag}'/> in its <cpu>",
    Form.KUBEVIRT: "`model: host-passthrough` in domain.cpu, or {{name: {flag}, policy: require}} in its features",
    Form.PROXMOX: "`cpu: host`, or with Proxmox VE 9.1 `flags=+nested-virt`",
    Form.INCUS: "no -cpu and no -{flag} in raw.qemu: without them the guest gets it",
    Form.TERRAFORM: 'cpu.mode = "host-passthrough"',
    Form.NOVA: "`cpu_mode = host-passthrough`, or `cpu_model_extra_flags = +{flag}`",
    Form.VIRT_INSTALL: "`--cpu host-passthrough`, or `--cpu host-model,require={flag}`",
    Form.KCLI: "`nested: true`",
}
_UNDER_KVM: Final = {
    Form.LIBVIRT: "<domain type='kvm'>",
    Form.PROXMOX: "no `kvm: 0`",
    Form.TERRAFORM: 'type = "kvm"',
    Form.NOVA: "`virt_type = kvm`",
    Form.VIRT_INSTALL: "--virt-type=kvm",
    Form.KCLI: "no `virttype: qemu`",
}
_ENCRYPTED: Final = {
    Form.LIBVIRT: "<launchSecurity>",
    Form.KUBEVIRT: "domain.launchSecurity",
    Form.PROXMOX: "amd-sev or intel-tdx",
    Form.INCUS: "security.sev",
    Form.VIRT_INSTALL: "--launchSecurity",
}


def candidate_of(subject: Subject) -> Domain | None:
    """The candidate that the subject is; None: it is deployed, or cannot be inspected."""
    try:
        domain = subject.machine.domain(subject.domain or subject.name)
    except ObservationError:
        return None
    return domain if domain.file is not None else None


def edit_file(subject: Subject, finding: Finding, candidate: Domain) -> list[str]:
    """What to write into the file, a line for each vendor's flag that the host may have."""
    form = candidate.form or Form.LIBVIRT
    wanted = _WITHOUT if finding.cause is Cause.DOMAIN_GIVES_FLAG else _WITH
    lines = (wanted[form].format(flag=vendor.flag) for vendor in subject.machine.cpu.vendors)
    return [f"# in {_place(candidate)}: {line}" for line in dict.fromkeys(lines)]


def run_under_kvm_in_file(candidate: Domain) -> list[str]:
    """Where the file says that the guest is emulated."""
    return [
        f"# in {_place(candidate)}: {_UNDER_KVM.get(candidate.form or Form.LIBVIRT, 'nothing that asks for emulation')}"
    ]


def stop_encrypting_in_file(candidate: Domain) -> list[str]:
    """Where the file asks for encrypted memory."""
    what = _ENCRYPTED.get(candidate.form or Form.LIBVIRT, "what encrypts its memory")
    return [f"# remove {what} from {_place(candidate)}: a guest with encrypted memory cannot run KVM"]


def start_again_as_in_file(guest: Domain) -> list[str]:
    """How the tool of the file's form stops a guest and starts it as it is defined."""
    form = guest.form or Form.LIBVIRT
    space, _, name = guest.name.rpartition("/")
    if form is Form.KUBEVIRT and space:
        return [f"virtctl restart {shlex.quote(name)} -n {shlex.quote(space)}"]
    if form is Form.PROXMOX:
        number = shlex.quote(PurePath(guest.file or "").stem)
        return [f"qm shutdown {number} && qm start {number}  # a reboot is not enough"]
    if form is Form.INCUS:
        project = [f"--project={shlex.quote(space)}"] if space else []
        words = " ".join([shlex.quote(name), *project])
        return [f"incus stop {words} && incus start {words}  # a reboot is not enough"]
    return [f"# shut {guest.name} down and start it as {_place(guest)} defines it: a reboot is not enough"]


def remove_saved_states_of(guest: Domain, states: Iterable[SavedCpu]) -> list[str]:
    """How the tool of the file's form restores what was suspended and stops it cleanly, and deletes snapshots."""
    number = shlex.quote(PurePath(guest.file or "").stem)
    lines: list[str] = []
    for each in states:
        if each.snapshot is None:
            lines += [
                f"qm resume {number}  # restores it with its old CPU",
                f"qm shutdown {number} && qm start {number}",
            ]
        elif each.snapshot.isprintable():
            lines += [f"qm delsnapshot {number} {shlex.quote(each.snapshot)}"]
    return [*lines, f"qm listsnapshot {number}"]


def _place(candidate: Domain) -> str:
    return f"{shlex.quote(candidate.file or '')}{candidate.place}"
