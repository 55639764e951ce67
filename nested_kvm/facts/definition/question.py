"""What a host's own libvirt can be asked about a guest that a file of another form than libvirt's defines."""

from typing import Final
from xml.etree.ElementTree import Element, SubElement

from nested_kvm.evidence.expansion.question import NotAskable, Question, question_of
from nested_kvm.facts.libvirt.cpu_definition import UNDECIDED, CpuDefinition
from nested_kvm.model.form import Form

_NOT_BY_THE_HOSTS_LIBVIRT: Final = {
    Form.PROXMOX: "Proxmox VE starts QEMU without libvirt",
    Form.INCUS: "Incus starts QEMU without libvirt",
    Form.KUBEVIRT: "KubeVirt starts it with the libvirt and the QEMU in its image, not with the host's",
    Form.KCLI: "kcli writes its <cpu> by what it finds on the host",
}


def question_for(
    form: Form, cpu: CpuDefinition, kind: str, architecture: str | None, machine: str | None
) -> Question | NotAskable:
    """The question about a definition that its tool hands to the host's libvirt."""
    if form in _NOT_BY_THE_HOSTS_LIBVIRT:
        return NotAskable(_NOT_BY_THE_HOSTS_LIBVIRT[form])
    open_to = cpu.undecided or cpu.unknown_mode or cpu.invalid
    if open_to is not None or cpu.may_be_overridden or not cpu.is_libvirts:
        return NotAskable(f"its <cpu> is not known: {open_to or 'more than libvirt decides it'}")
    return question_of(_domain(cpu, kind, architecture, machine))


def _domain(cpu: CpuDefinition, kind: str, architecture: str | None, machine: str | None) -> Element:
    domain = Element("domain", {"type": kind})
    given = {"arch": architecture, "machine": machine}
    os_type = SubElement(SubElement(domain, "os"), "type", {name: each for name, each in given.items() if each})
    os_type.text = "hvm"
    if cpu.memory_encryption is not None:
        SubElement(domain, "launchSecurity", {"type": cpu.memory_encryption})
    if cpu.mode == "none":
        return domain
    attributes = {"mode": cpu.mode, "check": cpu.check, "match": "minimum" if cpu.is_minimum else None}
    element = SubElement(domain, "cpu", {name: each for name, each in attributes.items() if each is not None})
    if cpu.model is not None:
        SubElement(element, "model").text = cpu.model
    for name, policy in cpu.features.items():
        if policy != UNDECIDED:
            SubElement(element, "feature", {"name": name, "policy": policy})
    return domain
