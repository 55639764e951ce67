"""A plan of kcli, as `kcli render -f PLAN` prints it: the VMs that it defines on a libvirt host.

Sample::

    ci-1:
      image: fedora42
      nested: true
      cpumodel: host-model
      cpuflags: [{name: aes, policy: require}]

Source: `create` of kcli's kvirt/providers/kvm/__init__.py: `nested: true` requires the flag of the host's CPU, beside
whatever model; of `cpuflags` vmx is left out, and a flag without a policy is optional. What a VM does not set itself
comes from its profile, and then from kcli's own configuration, which is not in the plan.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.facts.definition.candidate_domain import candidate_domain, checked_name, cpu_by_libvirt, shown
from nested_kvm.facts.libvirt.cpu_definition import FLAGS, CpuDefinition
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.form import Form
from nested_kvm.util.document import Part

_OF_A_VM: Final = {"numcpus": int, "cpumodel": str, "nested": bool, "cpuflags": list, "nets": list}
"""What of a VM no other kind of file has beside an image, and of which type it is."""
_SOURCES: Final = ("image", "profile", "template", "iso")
_PARAMETERS: Final = "parameters"
_VM: Final = "vm"
_PROFILE: Final = "profile"
_HOST_MODEL: Final = "host-model"
_POLICIES: Final = frozenset({"force", "require", "optional", "disable", "forbid"})


def is_plan(document: Part) -> bool:
    """Whether a document is a plan of kcli."""
    return isinstance(document.value, dict) and any(_is_vm(document.at(name)) for name in _entries(document))


def kcli_domains(document: Part) -> Iterator[Domain]:
    """The VMs of a plan.

    Raises:
        NotObserved: the plan is not as kcli takes it; the message names the line.
    """
    for name in _entries(document):
        entry = document.at(name)
        if isinstance(entry.value, dict) and _type(entry) == _VM:
            yield _domain(checked_name(name), entry, document)


def _entries(document: Part) -> list[str]:
    return [name for name in document.names() if name != _PARAMETERS]


def _type(entry: Part) -> str:
    return entry.at("type").text() or _VM


def _is_vm(entry: Part) -> bool:
    if not isinstance(entry.value, dict) or not isinstance(entry.value.get("type", _VM), str) or _type(entry) != _VM:
        return False
    has_source = any(isinstance(entry.value.get(key), str) for key in _SOURCES)
    return has_source and any(isinstance(entry.value.get(key), kind) for key, kind in _OF_A_VM.items())


def _domain(name: str, entry: Part, plan: Part) -> Domain:
    settings = _Settings(entry, plan)
    kind = settings.at("virttype").text() or "kvm"
    return candidate_domain(Form.KCLI, name, _cpu(settings, kind), settings.place, kind=kind)


class _Settings:
    """The settings of a VM: its own, then those of its profile."""

    def __init__(self, entry: Part, plan: Part) -> None:
        self._parts = [entry]
        named = entry.at(_PROFILE).text()
        profile = plan.at(named) if named in plan.names() else None
        if named and profile is not None and _type(profile) == _PROFILE:
            self._parts.append(profile)

    def at(self, key: str) -> Part:
        """The part below this key."""
        return next((found for each in self._parts if (found := each.at(key)).is_there), self._parts[0].at(key))

    @property
    def place(self) -> str:
        """Where it stands what decides first."""
        found = (self.at(key) for key in ("nested", "cpumodel", "cpuflags"))
        return next((each for each in found if each.is_there), self._parts[0]).place


def _cpu(settings: _Settings, kind: str) -> CpuDefinition:
    nested, model = settings.at("nested").truth(), settings.at("cpumodel").text()
    flags = dict(_flags(settings.at("cpuflags")))
    found = cpu_by_libvirt(model or _HOST_MODEL, flags.items(), kind=kind)
    written = [f"{key}: {value}" for key, value in (("nested", nested), ("cpumodel", model)) if value is not None]
    written += [f"{policy} {flag}" for flag, policy in flags.items() if flag in FLAGS]
    found = replace(found, written=shown(", ".join(written).lower() or "neither nested nor cpumodel"))
    for key in ("qemuextra", "macosx"):
        if settings.at(key).is_there:
            return replace(found, undecided=f"{key} may give QEMU another CPU")
    if nested is None or (not nested and model is None):
        missing = "nested" if nested is None else "cpumodel"
        reason = f"it does not set {missing}, so its profile, kcli's configuration or a default decides"
        return replace(found, undecided=reason)
    if not nested:
        return found
    if set(flags) & set(FLAGS):
        return replace(found, undecided="nested and cpuflags both name the flag")
    # Only the flag of the host's vendor is written, which the host has: libvirt refuses none of them.
    return replace(found, features={**found.features, **dict.fromkeys(FLAGS[:2], "require")}, is_libvirts=False)


def _flags(listed: Part) -> Iterator[tuple[str, str]]:
    """Each flag with its policy, as kcli hands it to libvirt."""
    for each in listed.entries():
        is_word = isinstance(each.value, str)
        name = each.text() if is_word else each.at("name").text()
        policy = "optional" if is_word else each.at("policy").text() or "optional"
        if policy not in _POLICIES:
            raise NotObserved(f"{each.path}: kcli knows no policy {policy[:40]!r}")
        if name and name != "vmx":
            yield name, policy
