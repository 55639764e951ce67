"""What an instancetype and a preference of KubeVirt add to a VirtualMachine.

Sample::

    apiVersion: instancetype.kubevirt.io/v1beta1
    kind: VirtualMachineClusterInstancetype
    metadata: {name: nested.medium}
    spec: {cpu: {guest: 2, model: host-passthrough}, memory: {guest: 4Gi}}

Sources: KubeVirt's pkg/instancetype. A VirtualMachine names a ControllerRevision with the object as it was when the VM
was created, in its spec or its status; without one the object itself counts (find/revision.go, find/spec.go).
Instancetype and VM may not both set the model or launchSecurity (apply/cpu.go, apply/launchsecurity.go).
Of a preference the VM takes only what it does not set itself (preference/apply/).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nested_kvm.util.document import Part
from nested_kvm.util.text import printable

_GROUP: Final = "instancetype.kubevirt.io"
_VERSIONS: Final = frozenset({f"{_GROUP}/v1", f"{_GROUP}/v1beta1"})
_OBJECT_NAME: Final = f"{_GROUP}/object-name"
_KINDS: Final = {
    "instancetype": ("VirtualMachineClusterInstancetype", "VirtualMachineInstancetype"),
    "preference": ("VirtualMachineClusterPreference", "VirtualMachinePreference"),
}
"""By the key in a VM's spec: the cluster's kind, which is meant where none is named, and that of a namespace."""
_NOTHING: Final = Part(None)


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why it is not known what is added."""

    reason: str


@dataclass(frozen=True, slots=True)
class Types:
    """The `spec` of a VM's instancetype, and that of its preference; parts without a value where it has none."""

    instancetype: Part = _NOTHING
    preference: Part = _NOTHING

    @property
    def model(self) -> str | None:
        """The CPU model that the instancetype sets."""
        return self.instancetype.at("cpu", "model").text() or None

    @property
    def features(self) -> Iterator[Part]:
        """The CPU features that the preference has for a VM that does not name them."""
        return self.preference.at("cpu", "preferredCPUFeatures").entries()

    @property
    def evmcs(self) -> Part:
        """Hyper-V's enlightened VMCS, as the preference has it for a VM that does not set it."""
        return self.preference.at("features", "preferredHyperv", "evmcs")

    @property
    def launch_security(self) -> Part:
        """The memory encryption that one of them asks for."""
        own = self.instancetype.at("launchSecurity")
        return own if own.is_there else self.preference.at("launchSecurity")

    @property
    def machine(self) -> str | None:
        """The machine type for a VM that names none."""
        return self.preference.at("machine", "preferredMachineType").text() or None

    @property
    def architecture(self) -> str | None:
        """The architecture for a VM that names none."""
        return self.preference.at("preferredArchitecture").text() or None

    def annotation(self, name: str) -> bool:
        """Whether one of them adds that annotation."""
        return any(each.at("annotations", name).is_there for each in (self.instancetype, self.preference))


def types_of(machine: Part, spec: Part, everything: Sequence[Part]) -> Types | Unresolved:
    """The instancetype and the preference of a VM.

    Args:
        machine: the object that defines the VM, of which the namespace and the status count.
        spec: where it names them.
        everything: the objects among which they are looked for.

    Raises:
        NotObserved: an object is not as KubeVirt takes it.
    """
    found = {key: _spec_of(key, machine, spec.at(key), everything) for key in _KINDS if spec.at(key).is_there}
    for each in found.values():
        if isinstance(each, Unresolved):
            return each
    return Types(**{key: each for key, each in found.items() if isinstance(each, Part)})


def _spec_of(key: str, machine: Part, named: Part, everything: Sequence[Part]) -> Part | Unresolved:
    name = named.at("name").text()
    if not name:
        return Unresolved(f"its {key} is inferred from a volume, which is not among the files")
    revision = named.at("revisionName").text()
    by_status = machine.at("status", f"{key}Ref", "controllerRevisionRef", "name").text()
    space = machine.at("metadata", "namespace").text()
    if revision or by_status:
        kept = _one(everything, "ControllerRevision", revision or by_status or "", space)
        if kept is None:
            return Unresolved(f"the ControllerRevision of its {key} {printable(name, 80)} is not among the files")
        if revision or kept.at("metadata", "labels", _OBJECT_NAME).text() == name:
            return _usable(kept.at("data"), key, name)
    kind = named.at("kind").text() or _KINDS[key][0]
    known = next((each for each in _KINDS[key] if kind.lower() in {each.lower(), f"{each.lower()}s"}), None)
    if known is None:
        return Unresolved(f"its {key} is of the kind {printable(kind, 40)}, which is not known")
    found = _one(everything, known, name, None if known == _KINDS[key][0] else space)
    if found is None:
        return Unresolved(f"its {key} {printable(name, 80)} may set the CPU, and is not among the files")
    return _usable(found, key, name)


def _usable(found: Part, key: str, name: str) -> Part | Unresolved:
    if found.at("apiVersion").text() not in _VERSIONS or not found.at("spec").is_there:
        return Unresolved(f"its {key} {printable(name, 80)} is of a version that is not known")
    return found.at("spec")


def _one(everything: Sequence[Part], kind: str, name: str, space: str | None) -> Part | None:
    """The only object of that kind, name and namespace."""
    found = [
        each
        for each in everything
        if each.at("kind").text() == kind
        and each.at("metadata", "name").text() == name
        and each.at("metadata", "namespace").text() == space
    ]
    return found[0] if len(found) == 1 else None
