"""The domain that a file defines: what all forms have in common.

A form that ends in libvirt is written as the `<domain>` that its tool would write, and one that ends in QEMU as its
`-cpu`: libvirt's and QEMU's own rules evaluate both, and there are no others.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from xml.etree.ElementTree import Element, SubElement

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.expansion.question import NotAskable
from nested_kvm.evidence.libvirt.qemu_arguments import deciding_arguments
from nested_kvm.facts.definition.question import question_for
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition, cpu_definition_of
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.form import Form

STATE: Final = "not defined yet"
NAME_LIMIT: Final = 250
"""Bytes of a guest's name."""
MODES: Final = frozenset({"host-passthrough", "host-model", "maximum"})
WRITTEN_LIMIT: Final = 200
"""Characters of a definition that a message quotes."""


def candidate_domain(
    form: Form,
    name: str,
    cpu: CpuDefinition,
    place: str = "",
    *,
    kind: str = "kvm",
    architecture: str | None = None,
    machine: str | None = None,
    runs_on: str | None = None,
    inexact: str | None = None,
) -> Domain:
    """The domain of a definition.

    `inexact` is why libvirt gets another `<cpu>`, although `cpu` decides the flag.

    Raises:
        NotObserved: the name is not one that can be shown.
    """
    return Domain(
        name=checked_name(name),
        uuid="",
        type=kind,
        state=STATE,
        is_transient=False,
        cpu=cpu,
        live_cpu=None,
        form=form,
        place=place,
        architecture=architecture,
        machine=machine,
        runs_on=runs_on,
        question=NotAskable(inexact) if inexact else question_for(form, cpu, kind, architecture, machine),
    )


def checked_name(name: str | None, what: str = "it has no name") -> str:
    """The name of a guest.

    Raises:
        NotObserved: `what`, as it is empty, too long, or has invisible characters.
    """
    stripped = (name or "").strip()
    if not stripped or not stripped.isprintable() or len(stripped.encode(errors="replace")) > NAME_LIMIT:
        raise NotObserved(f"{what} of 1 to {NAME_LIMIT} visible bytes")
    return stripped


def cpu_by_libvirt(
    model: str | None,
    features: Iterable[tuple[str, str]],
    *,
    kind: str = "kvm",
    machine: str | None = None,
    encryption: str | None = None,
    check: str | None = None,
    match: str | None = None,
) -> CpuDefinition:
    """The CPU of the `<domain>` with this model, which may also be a mode, and these features with their policies."""
    domain = Element("domain", {"type": kind})
    os_type = SubElement(SubElement(domain, "os"), "type", {} if machine is None else {"machine": machine})
    os_type.text = "hvm"
    named = list(features)
    if model is not None or named:
        mode = model if model in MODES else "custom"
        given = {"mode": mode, "check": check, "match": match}
        cpu = SubElement(domain, "cpu", {name: value for name, value in given.items() if value is not None})
        if model is not None and model not in MODES:
            SubElement(cpu, "model").text = model
        for feature, policy in named:
            SubElement(cpu, "feature", {"name": feature, "policy": policy})
    if encryption is not None:
        SubElement(domain, "launchSecurity", {"type": encryption})
    return cpu_definition_of(domain)


def cpu_by_qemu(argument: str, words: list[str], machine: str | None, written: str) -> CpuDefinition:
    """The CPU of a QEMU that is given `-cpu ARGUMENT`, and after it these words.

    Of several `-cpu` QEMU takes the last. What else may change the CPU leaves it undecided.
    """
    kept = list(deciding_arguments(words))
    properties: list[str] = []
    others: list[str] = []
    while kept:
        option = kept.pop(0)
        if option in {"-cpu", "-global"} and kept:
            value = kept.pop(0)
            argument = value if option == "-cpu" else argument
            properties += [value] if option == "-global" else []
        else:
            others.append(option)
    found = qemu_cpu_definition(argument, machine, properties)
    if others:
        return replace(found, written=written, undecided=f"arguments that may change the CPU: {' '.join(others)}")
    return replace(found, written=written)


def shown(text: str) -> str:
    """A definition as a message quotes it."""
    return text if len(text) <= WRITTEN_LIMIT else f"{text[:WRITTEN_LIMIT]}…"
