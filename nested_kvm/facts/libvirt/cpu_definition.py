"""A domain's `<cpu>`: what it asks for, and whether that gives its guest the virtualization flag.

    <cpu mode='custom' match='exact' check='partial'>
      <model fallback='allow'>EPYC</model>
      <feature policy='require' name='svm'/>
    </cpu>

The rules are QEMU's and libvirt's. Under KVM QEMU turns svm off for every named model (`kvm_default_props`
in target/i386/kvm/kvm-cpu.c), and no built-in Intel model has vmx; libvirt's host-model is such a name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element

from nested_kvm.evidence.libvirt.domain_xml import QEMU
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause

_ON: Final = frozenset({"require", "force"})
_OFF: Final = frozenset({"disable", "forbid"})
FLAGS: Final = tuple(vendor.flag for vendor in Vendor)
UNDECIDED: Final = "undecided"
"""The policy of a feature that QEMU's arguments name in a way that QEMU versions read differently."""
_VERSION: Final = re.compile(r"-v[0-9]+$")
"""The version that libvirt 11 appends to the model of a domain that it starts or saves."""
_AMD_MODELS: Final = ("EPYC", "Opteron", "athlon", "phenom", "Dhyana")
_INTEL_MODELS: Final = (
    "Broadwell", "Cascadelake", "ClearwaterForest", "Conroe", "Cooperlake", "Denverton", "GraniteRapids",
    "Haswell", "Icelake", "IvyBridge", "KnightsMill", "Nehalem", "Penryn", "SandyBridge", "SapphireRapids",
    "SierraForest", "Skylake", "Snowridge", "Westmere", "core2duo", "coreduo", "n270",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Promise:
    """Whether a CPU definition gives the guest the flag, and by which rule."""

    gives_flag: Answer
    reason: str
    cause: Cause | None = None
    """Why the guest does not get the flag; None where it does, or where that is not known."""


@dataclass(frozen=True, slots=True)
class CpuDefinition:
    """`<cpu mode=…>` as written; `features` maps each named feature to its policy."""

    mode: str
    """`custom` where the attribute is missing, as libvirt reads it; `none` where there is no `<cpu>`."""
    model: str | None = None
    vendor: str | None = None
    check: str | None = None
    features: Mapping[str, str] = field(default_factory=dict)
    passed_through: str | None = None
    """The `-cpu` that `<qemu:commandline>` passes to QEMU, past libvirt."""
    written: str | None = None
    """The definition as it was written, where that was not XML."""

    @property
    def copies_host(self) -> bool:
        """Whether the guest gets every flag that KVM can give."""
        return self.mode in {"host-passthrough", "maximum"}

    def looks_expanded_from_host_model(self, vendor: Vendor) -> bool:
        """Whether libvirt may have expanded a host-model to it: on x86 only an expansion names the host's vendor."""
        return self.mode == "custom" and self.model is not None and (vendor is Vendor.IBM_Z or self.vendor is not None)

    @property
    def text(self) -> str:
        """The definition in one line, for messages."""
        if self.written is not None:
            return self.written
        parts = [self.mode, *([self.model] if self.model else [])]
        parts += [f"{policy} {name}" for name, policy in self.features.items() if name in FLAGS]
        parts += [f"qemu:commandline -cpu {self.passed_through}"] if self.passed_through else []
        return ", ".join(parts)

    def may_name_the_model(self, model: str) -> bool:
        """Whether the model is `model`, or the version that libvirt may write for it: EPYC-IBPB is EPYC-v2."""
        own = self.model or ""
        family = _VERSION.sub("", own)
        return own == model or (own != family and _VERSION.sub("", model) == model and model.startswith(family))

    def weakness(self, flag: str) -> str | None:
        """Why the domain may start without the `flag` that its definition names; None: it may not."""
        policy = self.features.get(flag)
        if policy == "optional":
            return f"optional {flag} may be silently dropped"
        if policy == "force" and self.check == "none":
            return f"force {flag} with check='none' also starts on a host without {flag}"
        return None

    def promise(self, vendor: Vendor) -> Promise:
        """Whether a guest with this definition gets `vendor`'s flag on a host that offers it."""
        if self.passed_through is not None:
            return Promise(Answer.UNKNOWN, f"<qemu:commandline> passes -cpu {self.passed_through} to QEMU")
        return self._by_feature(vendor) or self._by_mode(vendor)

    def _by_feature(self, vendor: Vendor) -> Promise | None:
        policy = self.features.get(vendor.flag)
        if policy == UNDECIDED:
            return Promise(Answer.UNKNOWN, f"whether {self.text} turns {vendor.flag} on depends on QEMU's version")
        if policy in _OFF:
            return Promise(Answer.NO, f"the definition has {policy} {vendor.flag}", Cause.FEATURE_DISABLED)
        if policy in _ON:
            return self._asked_for(vendor, policy)
        if policy is not None and not self.copies_host:
            return Promise(Answer.UNKNOWN, f"{policy} {vendor.flag} may be silently dropped")
        foreign = [each.flag for each in vendor.others if self.features.get(each.flag) in _ON]
        if foreign and not self.copies_host:
            return Promise(
                Answer.NO, f"the definition asks for {foreign[0]}, the other vendor's flag", Cause.WRONG_VENDOR_FEATURE
            )
        return None

    def _asked_for(self, vendor: Vendor, policy: str) -> Promise:
        if self.mode == "custom" and _vendor_of_model(self.model) in vendor.others:
            return Promise(Answer.UNKNOWN, f"{self.model} is the other vendor's model, with {policy} {vendor.flag}")
        return Promise(Answer.YES, f"the definition has {policy} {vendor.flag}")

    def _by_mode(self, vendor: Vendor) -> Promise:
        if self.copies_host:
            return Promise(Answer.YES, f"{self.written or self.mode} copies the host's flags")
        if self.mode == "host-model":
            return _host_model(vendor)
        if self.mode not in {"custom", "none"}:
            return Promise(Answer.UNKNOWN, f"the mode {self.mode[:40]!r} is not known")
        if vendor is Vendor.IBM_Z:
            return Promise(Answer.UNKNOWN, f"whether {self.text} has sie is not known")
        if _vendor_of_model(self.model) in vendor.others:
            return Promise(Answer.NO, f"{self.model} is the other vendor's model", Cause.WRONG_VENDOR_FEATURE)
        named = f"the model {self.model}" if self.model else "the hypervisor's default model"
        return Promise(Answer.NO, f"{named} has no {vendor.flag} under KVM", Cause.NAMED_MODEL_LACKS_FLAG)


def cpu_definition_of(domain: Element) -> CpuDefinition:
    """The CPU definition in a `<domain>` element."""
    arguments = [argument.get("value", "") for argument in domain.findall(f"{QEMU}commandline/{QEMU}arg")]
    passed_through = arguments[1] if len(arguments) > 1 else None
    cpu = domain.find("cpu")
    if cpu is None:
        return CpuDefinition("none", passed_through=passed_through)
    return CpuDefinition(
        mode=cpu.get("mode", "custom"),
        model=_text(cpu, "model"),
        vendor=_text(cpu, "vendor"),
        check=cpu.get("check"),
        features={feature.get("name", ""): feature.get("policy", "require") for feature in cpu.findall("feature")},
        passed_through=passed_through,
    )


def _text(cpu: Element, tag: str) -> str | None:
    return (cpu.findtext(tag) or "").strip() or None


def _host_model(vendor: Vendor) -> Promise:
    if vendor is Vendor.AMD:
        return Promise(Answer.NO, "host-model omits svm on AMD", Cause.HOST_MODEL_DROPS_SVM)
    where = "copies sie on s390x" if vendor is Vendor.IBM_Z else "requires vmx on Intel"
    return Promise(Answer.YES, f"host-model {where}")


def _vendor_of_model(model: str | None) -> Vendor | None:
    if model is None:
        return None
    if model.startswith(_AMD_MODELS):
        return Vendor.AMD
    return Vendor.INTEL if model.startswith(_INTEL_MODELS) else None
