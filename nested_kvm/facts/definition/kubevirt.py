"""KubeVirt's VirtualMachine, VirtualMachineInstance and their sets, as manifests or from `kubectl get -o json`.

Sample::

    apiVersion: kubevirt.io/v1
    kind: VirtualMachine
    metadata: {name: ci-1, namespace: ci}
    spec: {template: {spec: {domain: {cpu: {model: host-passthrough}}}}}

Sources: `convertCPU` and its kin in KubeVirt's pkg/virt-launcher/virtwrap/converter write model and features into the
domain's `<cpu>`, and a model named host-passthrough or host-model becomes the mode; the webhook in
pkg/defaults/hyperv.go turns `features.hyperv.evmcs` into `require vmx`; the model of a VM without one is the cluster's
(`cpuModel` of the KubeVirt resource, `defaultCPUModel` of a HyperConverged), else host-model.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.facts.definition.candidate_domain import candidate_domain, checked_name, cpu_by_libvirt
from nested_kvm.facts.definition.kubevirt_types import Types, Unresolved, types_of
from nested_kvm.facts.libvirt.cpu_definition import FLAGS, CpuDefinition
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.form import Form
from nested_kvm.util.document import Part

_TEMPLATES: Final = {
    "VirtualMachine": ("spec", "template"),
    "VirtualMachineInstance": (),
    "VirtualMachineInstanceReplicaSet": ("spec", "template"),
    "VirtualMachinePool": ("spec", "virtualMachineTemplate", "spec", "template"),
}
"""The kinds that define a guest, and where its template stands."""
_INSTANCE_TYPES: Final = {
    "VirtualMachine": ("spec",),
    "VirtualMachinePool": ("spec", "virtualMachineTemplate", "spec"),
}
"""Where the kinds name an instancetype and a preference, which is expanded in what runs of them."""
_INSTANCE: Final = "VirtualMachineInstance"
_GROUPS: Final = frozenset({"kubevirt.io", "pool.kubevirt.io"})
_SIDECARS: Final = "hooks.kubevirt.io/hookSidecars"
_PARAMETER: Final = re.compile(r"\$\{+\w")
"""As OpenShift's templates have it: `${CPU_MODEL}`, or `${{CORES}}` for what is not text."""
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64", "s390x": "s390x"}
_HOST_MODEL: Final = "host-model"
_EMULATES: Final = (
    "the cluster allows emulation (developerConfiguration.useEmulation), so its guests may be started without KVM"
)
_NOT_KNOWN: Final = (
    "it names no cpu.model, so the cluster's default decides (cpuModel of its KubeVirt resource, else host-model),"
    " which is not among the files"
)


def is_kubernetes(document: Part) -> bool:
    """Whether a document is an object of Kubernetes, of whatever kind."""
    names = document.names() if isinstance(document.value, dict) else []
    return {"apiVersion", "kind"} <= set(names)


def objects_in(documents: Iterable[Part]) -> Iterator[Part]:
    """The objects, those of lists and of OpenShift's templates included.

    Raises:
        NotObserved: a list has no list of items.
    """
    for document in documents:
        if (document.at("kind").text() or "").endswith("List") and document.at("items").is_there:
            yield from document.at("items").entries()
        elif document.at("kind").text() == "Template" and _group(document) == "template.openshift.io":
            yield from objects_in(document.at("objects").entries())
        else:
            yield document


def kubevirt_domains(objects: Sequence[Part], everything: Sequence[Part]) -> Iterator[Domain]:
    """The guests that these objects define; `everything` may hold the cluster's defaults as well.

    Raises:
        NotObserved: an object is not as KubeVirt takes it; the message names it and the line.
    """
    defaults, emulates = cluster_models(everything), may_emulate(everything)
    for each in objects:
        if is_guest(each):
            found = _domain(each, defaults, _types(each, everything))
            yield replace(found, cpu=replace(found.cpu, undecided=_EMULATES)) if emulates else found


def is_guest(found: Part) -> bool:
    """Whether the object defines a guest of KubeVirt's."""
    return found.at("kind").text() in _TEMPLATES and _group(found) in _GROUPS


def _group(found: Part) -> str:
    return (found.at("apiVersion").text() or "").partition("/")[0]


def cluster_models(objects: Iterable[Part]) -> frozenset[str]:
    """The default models that the cluster's resources name; empty: there is no such resource.

    Raises:
        NotObserved: such a resource is not as KubeVirt takes it.
    """
    found = set()
    for each in objects:
        kind, group = each.at("kind").text(), _group(each)
        if kind == "KubeVirt" and group in _GROUPS:
            found.add(each.at("spec", "configuration", "cpuModel").text() or _HOST_MODEL)
        elif kind == "HyperConverged" and group == "hco.kubevirt.io":
            found.add(each.at("spec", "defaultCPUModel").text() or _HOST_MODEL)
    return frozenset(found)


def may_emulate(objects: Iterable[Part]) -> bool:
    """Whether a cluster's resource allows emulation.

    Then no virt-launcher asks for /dev/kvm, and one that finds none emulates its guest (`getRequiredResources` of
    pkg/virt-controller/services, and the converter of virt-launcher).
    """
    return any(
        each.at("kind").text() == "KubeVirt"
        and _group(each) in _GROUPS
        and each.at("spec", "configuration", "developerConfiguration", "useEmulation").truth()
        for each in objects
    )


def name_of(found: Part) -> str:
    """The name of an object, with its namespace where it has one, and `(running)` for what runs of a VirtualMachine.

    Raises:
        NotObserved: it has none.
    """
    metadata = found.at("metadata")
    own = metadata.at("name").text() or metadata.at("generateName").text()
    name = checked_name(own, f"{found.at('kind').text()}{found.place}: it has no metadata.name")
    namespace = metadata.at("namespace").text()
    full = checked_name(f"{namespace}/{name}") if namespace else name
    return f"{full} (running)" if _is_owned_by_a_vm(found) else full


def _is_owned_by_a_vm(found: Part) -> bool:
    """Whether it is what runs of a VirtualMachine, whose definition may have been changed since it was started."""
    owners = found.at("metadata", "ownerReferences").entries()
    return found.at("kind").text() == _INSTANCE and any(each.at("kind").text() == "VirtualMachine" for each in owners)


def _types(found: Part, everything: Sequence[Part]) -> Types | Unresolved:
    where = _INSTANCE_TYPES.get(found.at("kind").text() or "")
    return Types() if where is None else types_of(found, found.at(*where), everything)


def _domain(found: Part, defaults: frozenset[str], given: Types | Unresolved) -> Domain:
    kind, name = found.at("kind").text() or "", name_of(found)
    template = found.at(*_TEMPLATES[kind])
    spec = template.at("spec")
    guest = spec.at("domain")
    if not guest.is_there:
        raise NotObserved(f"{name}: {guest.path} is missing{found.place}")
    cpu, types = guest.at("cpu"), Types() if isinstance(given, Unresolved) else given
    features = list(_features(guest, types))
    architecture = spec.at("architecture").text() or types.architecture
    machine = guest.at("machine", "type").text() or types.machine
    definition = _cpu(guest, types, features, machine, defaults)
    undecided = given.reason if isinstance(given, Unresolved) else _why_undecided(guest, types, template)
    own = (each for word, _, each in features if word in FLAGS and each.keys[: len(guest.keys)] == guest.keys)
    flag = next(own, None)
    shown_at = flag or next((each for each in (cpu.at("model"), cpu, guest) if each.is_there), guest)
    return candidate_domain(
        Form.KUBEVIRT,
        name,
        definition if undecided is None else replace(definition, undecided=undecided),
        shown_at.place,
        architecture=None if architecture is None else _MACHINES.get(architecture, architecture),
        machine=machine,
        runs_on=found.at("status", "nodeName").text() if kind == _INSTANCE else None,
    )


def _cpu(
    guest: Part, types: Types, features: Sequence[tuple[str, str, Part]], machine: str | None, defaults: frozenset[str]
) -> CpuDefinition:
    own = guest.at("cpu", "model").text() or types.model
    known = own or (next(iter(defaults)) if len(defaults) == 1 else None)
    security = guest.at("launchSecurity")
    security = security if security.is_there else types.launch_security
    encryption = ", ".join(security.names()) or ("of no known type" if security.is_there else None)
    named = [(word, policy) for word, policy, _ in features]
    definition = cpu_by_libvirt(known or _HOST_MODEL, named, machine=machine, encryption=encryption)
    if known is not None:
        return definition if own else replace(definition, written=f"{definition.text} (the cluster's default)")
    written = ", ".join(["no cpu.model", *(f"{policy} {word}" for word, policy in named if word in FLAGS)])
    return replace(definition, unknown_mode=_NOT_KNOWN, written=written)


def _features(guest: Part, types: Types) -> Iterator[tuple[str, str, Part]]:
    """Each feature with its policy and where it stands, as KubeVirt's webhook leaves them."""
    own, passes = guest.at("features", "hyperv", "evmcs"), guest.at("features", "hypervPassthrough", "enabled").truth()
    evmcs = own if own.is_there or passes else types.evmcs
    needs_vmx = evmcs.is_there and evmcs.at("enabled").truth() is not False
    entries = list(guest.at("cpu", "features").entries())
    named = {each.at("name").text() for each in entries}
    for entry in (*entries, *(each for each in types.features if each.at("name").text() not in named)):
        name, policy = entry.at("name").text() or "", entry.at("policy").text() or "require"
        if name == "vmx" and needs_vmx:
            policy, needs_vmx = "require", False
        yield name, policy, entry
    if needs_vmx:
        yield "vmx", "require", evmcs


def _why_undecided(guest: Part, types: Types, template: Part) -> str | None:
    """What beside the template may change the CPU, or keeps the VM from being started at all."""
    if any(_PARAMETER.search(str(guest.at("cpu", key).value)) for key in ("model", "features")):
        return "a parameter of its template decides its CPU"
    for key in ("cpu.model", "launchSecurity"):
        if guest.at(*key.split(".")).is_there and types.instancetype.at(*key.split(".")).is_there:
            return f"KubeVirt refuses it: its instancetype sets {key} as well"
    if template.at("metadata", "annotations", _SIDECARS).is_there or types.annotation(_SIDECARS):
        return f"a sidecar ({_SIDECARS}) may change the domain's XML"
    return None
