"""A Terraform plan with domains of the provider dmacvicar/libvirt, as `terraform show -json` (or `tofu`) prints it.

Sample::

    {"format_version": "1.2", "planned_values": {"root_module": {"resources": [
      {"address": "libvirt_domain.ci", "type": "libvirt_domain",
       "values": {"name": "ci", "cpu": [{"mode": "host-model"}]}}]}}}

Sources: the provider's schema of `libvirt_domain`: until 0.8 `cpu` is a block with a mode, and `xml.xslt` may change
everything; since 0.9 it is an object with the names of libvirt's XML, and since 0.9.1 the machine is `os.type_machine`.
Without `cpu` the domain gets none, and QEMU's default model. A value that is known only after the plan is applied is
listed in `after_unknown`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.facts.definition.candidate_domain import candidate_domain, checked_name, cpu_by_libvirt
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.form import Form
from nested_kvm.util.document import Part

_TYPE: Final = "libvirt_domain"
_DECIDING: Final = ("cpu", "type", "xml")
"""The attributes that decide the CPU, as far as a plan may leave them open."""
_KNOWN_CPU: Final = frozenset({
    "mode", "model", "features", "feature", "check", "match", "vendor", "migratable", "topology", "numa", "cache",
    "maxphysaddr", "fallback", "max_phys_addr", "model_fallback", "model_vendor_id",
})  # fmt: skip
_PASSED_ON: Final = ("vendor", "migratable", "fallback", "model_fallback", "model_vendor_id")
"""Attributes of `cpu` that libvirt gets, and that do not decide the flag."""
_DOUBTFUL: Final = ("commandline", "launch_security", "launchsecurity")
"""Parts of the names of attributes that may change the CPU past `cpu`."""


def is_plan(document: Part) -> bool:
    """Whether a document is a plan of Terraform's."""
    return isinstance(document.value, dict) and "planned_values" in document.value


def terraform_domains(plan: Part) -> Iterator[Domain]:
    """The domains that the plan defines.

    Raises:
        NotObserved: the plan is not as Terraform prints it.
    """
    unknown = {
        change.at("address").text(): change.at("change", "after_unknown")
        for change in plan.at("resource_changes").entries()
    }
    for resource in _resources(plan.at("planned_values", "root_module")):
        if resource.at("type").text() == _TYPE and resource.at("mode").text() in {None, "managed"}:
            yield _domain(resource, unknown)


def _resources(module: Part) -> Iterator[Part]:
    yield from module.at("resources").entries()
    for child in module.at("child_modules").entries():
        yield from _resources(child)


def _domain(resource: Part, unknown: Mapping[str | None, Part]) -> Domain:
    address = checked_name(resource.at("address").text(), f"{resource.path}: it has no address")
    values = resource.at("values")
    cpu = _only(values.at("cpu"))
    model = cpu.at("mode").text() or None
    features = [(each.at("name").text() or "", each.at("policy").text() or "require") for each in _features(cpu)]
    if model in {None, "custom"}:
        model = _model(cpu)
    kind = values.at("type").text() or "kvm"
    machine, architecture = _of_os(values, "machine"), _of_os(values, "arch")
    check, match = cpu.at("check").text() or None, cpu.at("match").text() or None
    definition = cpu_by_libvirt(model, features, kind=kind, machine=machine, check=check, match=match)
    if not definition.copies_host:
        definition = replace(definition, shown_vendor=_vendor_id(cpu))
    undecided = _why_undecided(values, cpu, unknown.get(address, Part(None)))
    return candidate_domain(
        Form.TERRAFORM,
        values.at("name").text() or address,
        definition if undecided is None else replace(definition, undecided=undecided),
        (cpu if cpu.is_there else values).place,
        kind=kind,
        architecture=architecture,
        machine=machine,
        inexact=_why_inexact(cpu, match) or _why_other_qemu(values),
    )


def _only(block: Part) -> Part:
    """A block that may stand at most once, in either of the forms in which a plan has it."""
    if not isinstance(block.value, list):
        return block
    entries = list(block.entries())
    if len(entries) > 1:
        raise NotObserved(f"{block.path} has {len(entries)} blocks, where the provider takes one")
    return entries[0] if entries else Part(None, block.keys)


def _features(cpu: Part) -> Iterator[Part]:
    yield from cpu.at("features").entries()
    yield from cpu.at("feature").entries()


def _model(cpu: Part) -> str | None:
    """The name of the model, which is text, or an object with the text of its element."""
    model = cpu.at("model")
    return model.at("value").text() if isinstance(model.value, dict) else model.text() or None


def _vendor_id(cpu: Part) -> str | None:
    """The vendor that the guest is shown, by its names in the versions of the provider."""
    model = cpu.at("model")
    of_model = model.at("vendor_id").text() if isinstance(model.value, dict) else None
    return of_model or _text_of(cpu, "model_vendor_id") or None


def _of_os(values: Part, key: str) -> str | None:
    """The machine or the architecture, by its names in the versions of the provider."""
    os = values.at("os")
    return _text_of(values, key) or _text_of(os, key) or _text_of(os, f"type_{key}") or None


def _text_of(values: Part, key: str) -> str | None:
    return values.at(key).text() if isinstance(values.value, dict) else None


def _why_undecided(values: Part, cpu: Part, unknown: Part) -> str | None:
    later = [key for key in _DECIDING if unknown.is_there and _is_open(unknown.at(key).value)]
    if later:
        return f"{later[0]} is known only after the plan is applied"
    xml = values.at("xml")
    if xml.is_there and xml.value != []:
        return "its xml.xslt may change the CPU"
    doubtful = next(
        (name for name in values.names() if any(part in name for part in _DOUBTFUL) and values.at(name).value), None
    )
    if doubtful is not None:
        return f"its {doubtful[:40]} may change the CPU, and is not evaluated"
    strange = sorted(name for name in cpu.names() if name not in _KNOWN_CPU and cpu.at(name).is_there)
    return f"cpu.{strange[0][:40]} is not known here" if strange else None


def _why_inexact(cpu: Part, match: str | None) -> str | None:
    given = ["match"] if match not in {None, "exact", "minimum"} else []
    given += [name for name in _PASSED_ON if name in cpu.names() and cpu.at(name).is_there]
    return f"its cpu.{given[0]} is not read here" if given else None


def _why_other_qemu(values: Part) -> str | None:
    """Why the host's default QEMU is not the guest's; one that is known only later is libvirt's own choice."""
    devices = values.at("devices")
    by_device = isinstance(devices.value, dict) and devices.at("emulator").is_there
    return "it names an emulator, which is not sent" if by_device or values.at("emulator").is_there else None


def _is_open(value: object) -> bool:
    """Whether any part of a value is known only later."""
    if isinstance(value, dict):
        return any(map(_is_open, value.values()))
    return any(map(_is_open, value)) if isinstance(value, list) else value is True
