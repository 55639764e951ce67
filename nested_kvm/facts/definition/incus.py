"""An Incus (or LXD) instance: `incus config show`, `incus list --format json`, and the profiles that it takes.

Sample::

    name: ci-1
    type: virtual-machine
    profiles: [default]
    expanded_config: {raw.qemu: "-cpu host,-svm"}

Source: internal/server/instance/drivers/driver_qemu.go: QEMU is given `-cpu host`; in a cluster, and with
`migration.stateful`, the cluster group's baseline; `raw.qemu` comes last on its command line; other raw keys may change
anything. A key of the instance wins over one of its profiles, of which the last wins.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.libvirt.qemu_arguments import deciding_arguments
from nested_kvm.facts.definition.candidate_domain import candidate_domain, checked_name, cpu_by_qemu, shown
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.form import Form
from nested_kvm.util.document import Part

VIRTUAL_MACHINE: Final = "virtual-machine"
_CONTAINER: Final = "container"
_RAW: Final = (
    "raw.qemu.conf",
    "raw.qemu.scriptlet",
    "raw.qemu.qmp.early",
    "raw.qemu.qmp.pre-start",
    "raw.qemu.qmp.post-start",
)
"""The keys beside raw.qemu that may change the guest's CPU."""
_STATEFUL: Final = "migration.stateful"
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_DEFAULT: Final = "host"


def is_instance(document: Part) -> bool:
    """Whether a document is an instance of Incus."""
    names = set(document.names()) if isinstance(document.value, dict) else set()
    return "config" in names and "devices" in names and not is_profile(document)


def is_profile(document: Part) -> bool:
    """Whether a document is a profile of Incus."""
    names = set(document.names()) if isinstance(document.value, dict) else set()
    return {"config", "devices"} <= names and "architecture" not in names and "profiles" not in names


def incus_domains(instances: Sequence[tuple[Part, str]], profiles: Sequence[Part]) -> Iterator[Domain]:
    """The virtual machines among these instances, each with the name that it has where it does not say one.

    Raises:
        NotObserved: an instance is not as Incus prints it.
    """
    names = [profile.at("name").text() or "default" for profile in profiles]
    # Of two profiles of one name, as in two projects, it is not known which of them an instance takes.
    known = {name: profile for name, profile in zip(names, profiles, strict=True) if names.count(name) == 1}
    for instance, name in instances:
        if instance.at("type").text() != _CONTAINER:
            yield _domain(instance, name, known)


def _domain(instance: Part, otherwise: str, profiles: Mapping[str, Part]) -> Domain:
    name = checked_name(instance.at("name").text() or otherwise)
    config, missing = _config(instance, profiles)
    raw = config.get("raw.qemu")
    cpu = _cpu(name, config)
    undecided = _why_undecided(instance, config, missing)
    place = raw or instance.at("config")
    return candidate_domain(
        Form.INCUS,
        name,
        cpu if undecided is None else replace(cpu, undecided=undecided),
        (place if place.is_there else instance).place,
        architecture=instance.at("architecture").text() or None,
    )


def _config(instance: Part, profiles: Mapping[str, Part]) -> tuple[dict[str, Part], list[str]]:
    """The keys that hold for the instance, and the profiles that are not known."""
    expanded = instance.at("expanded_config")
    if expanded.is_there:
        return _keys(expanded), []
    found: dict[str, Part] = {}
    missing = []
    for entry in instance.at("profiles").entries():
        name = entry.text() or ""
        if name in profiles:
            found |= _keys(profiles[name].at("config"))
        else:
            missing.append(shown(name))
    return found | _keys(instance.at("config")), missing


def _keys(config: Part) -> dict[str, Part]:
    return {name: config.at(name) for name in config.names()}


def _cpu(name: str, config: Mapping[str, Part]) -> CpuDefinition:
    try:
        words = _words(config)
    except ValueError as error:
        raise NotObserved(f"{name}: raw.qemu: {error}") from None
    deciding = " ".join(deciding_arguments(words))
    written = f"raw.qemu: {deciding}" if deciding else "no raw.qemu that changes the CPU, so -cpu host"
    found = cpu_by_qemu(_DEFAULT, words, None, shown(written))
    return replace(found, memory_encryption="sev") if _is_true(config, "security.sev") else found


def _words(config: Mapping[str, Part]) -> list[str]:
    return shlex.split(config["raw.qemu"].text() or "") if "raw.qemu" in config else []


def _why_undecided(instance: Part, config: Mapping[str, Part], missing: Sequence[str]) -> str | None:
    kind = instance.at("type").text()
    if kind != VIRTUAL_MACHINE and not _looks_like_a_vm(config):
        return "whether it is a virtual machine or a container is not said: `incus list --format json` says it"
    if missing:
        return f"the profile {', '.join(missing)} may change the CPU, and is not among the files"
    raw = next((key for key in _RAW if key in config and config[key].text()), None)
    if raw is not None:
        return f"{raw} may change the CPU"
    if _is_true(config, _STATEFUL) and not {"-cpu", "--cpu"} & set(_words(config)):
        return f"{_STATEFUL} is set, so in a cluster the baseline of its group decides"
    return None


def _looks_like_a_vm(config: Mapping[str, Part]) -> bool:
    """Whether the keys that Incus itself sets are those of a virtual machine."""
    return (
        "volatile.vsock_id" in config
        or (config["image.type"].text() if "image.type" in config else "") == "disk-kvm.img"
    )


def _is_true(config: Mapping[str, Part], key: str) -> bool:
    return key in config and (config[key].word() or "").lower() in _TRUE
