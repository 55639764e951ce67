"""A domain's `<cpu>`: what it asks for, and whether that gives its guest the virtualization flag.

    <cpu mode='custom' match='exact' check='partial'>
      <model fallback='allow'>EPYC</model>
      <feature policy='require' name='svm'/>
    </cpu>

The rules are QEMU's and libvirt's. Under KVM QEMU turns svm off for every named model (`kvm_default_props`
in target/i386/kvm/kvm-cpu.c), and no built-in Intel model has vmx; libvirt's host-model is such a name. A model of the
other vendor is a name like any other: under KVM the guest sees the host's vendor.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from xml.etree.ElementTree import Element

from nested_kvm.evidence.libvirt.domain_xml import passed_arguments
from nested_kvm.evidence.libvirt.qemu_arguments import deciding_arguments
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
_POLICIES: Final = frozenset({"force", "require", "optional", "disable", "forbid"})
_VALUES: Final = {
    "migratable": frozenset({"on", "off"}),
    "check": frozenset({"none", "partial", "full"}),
    "match": frozenset({"minimum", "exact", "strict"}),
    "mode": frozenset({"custom", "host-model", "host-passthrough", "maximum"}),
}
"""The values of `<cpu>`'s attributes that libvirt accepts."""
_VENDOR_ID_LENGTH: Final = 12
_KEEPS_SVM: Final = re.compile(
    r"(type=)?(pc(-i440fx|-q35)?-([01]\.\d+|2\.[01]|trusty|utopic|rhel7\.[01]\.\d+)|rhel6\.\d+\.\d+)(,.*)?"
)
"""Machines of QEMU 2.1 and before: with them KVM does not turn a model's svm off (hw/i386/pc_piix.c, until QEMU 9).

Ubuntu names them for its releases, and RHEL for its own: those of QEMU 2.1 and before are trusty and utopic, rhel6,
rhel7.0 and rhel7.1.
"""


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
    shown_vendor: str | None = None
    """The vendor that the guest's CPU shows in the host's place; None: the host's."""
    has_vmx_controls: bool = False
    """Whether it names a control of VMX, such as `vmx-ept`, that the guest is to have beside its model's."""
    check: str | None = None
    is_minimum: bool = False
    """Whether libvirt adds to the model what else the host has, as for host-model: `match='minimum'`."""
    features: Mapping[str, str] = field(default_factory=dict)
    passed_through: str | None = None
    """The arguments with which `<qemu:commandline>` may change the CPU, past libvirt."""
    memory_encryption: str | None = None
    """The type of `<launchSecurity>`, such as `sev`; KVM in such a guest refuses to run."""
    reads_config: bool = False
    """Whether QEMU reads a configuration file that may change the CPU, and was not read here."""
    invalid: str | None = None
    """Why libvirt refuses the definition, where that is certain."""
    undecided: str | None = None
    """Why it is not known what the guest gets, where its VMM does not show that."""
    unknown_mode: str | None = None
    """Why neither mode nor model is known, although the features are; `mode` is then the most likely one."""
    written: str | None = None
    """The definition as it was written, where that was not XML."""
    is_libvirts: bool = False
    """Whether libvirt starts the guest, and refuses that where the host lacks what the definition requires."""

    @property
    def copies_host(self) -> bool:
        """Whether the guest gets every flag that KVM can give."""
        return self.mode in {"host-passthrough", "maximum"}

    @property
    def has_known_mode(self) -> bool:
        """Whether the mode is one of libvirt's, or there is no `<cpu>`."""
        return self.mode in _VALUES["mode"] | {"none"}

    @property
    def adds_host_features(self) -> bool:
        """Whether libvirt adds the host's features, as far as it knows them."""
        return self.mode == "host-model" or (self.mode == "custom" and self.is_minimum)

    @property
    def may_be_overridden(self) -> bool:
        """Whether QEMU gets arguments beside the definition that may change the CPU."""
        return self.passed_through is not None or self.reads_config

    def looks_expanded_from_host_model(self, vendor: Vendor) -> bool:
        """Whether libvirt may have expanded a host-model to it: on x86 only an expansion names the host's vendor."""
        return self.mode == "custom" and self.model is not None and (vendor is Vendor.IBM_Z or self.vendor is not None)

    @property
    def text(self) -> str:
        """The definition in one line, for messages."""
        if self.written is not None:
            return self.written
        parts = [self.mode, *(["minimum"] if self.is_minimum else []), *([self.model] if self.model else [])]
        parts += [f"{policy} {name}" for name, policy in self.features.items() if name in FLAGS and policy != UNDECIDED]
        parts += [f"vendor_id {self.shown_vendor}"] if self.shown_vendor else []
        parts += [f"launchSecurity {self.memory_encryption}"] if self.memory_encryption else []
        parts += [f"qemu:commandline {self.passed_through}"] if self.passed_through else []
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
            return Promise(Answer.UNKNOWN, f"<qemu:commandline> passes {self.passed_through} to QEMU")
        if self.reads_config:
            return Promise(Answer.UNKNOWN, "QEMU reads a file with -readconfig, which may change the CPU")
        if self.undecided is not None:
            return Promise(Answer.UNKNOWN, self.undecided)
        if self.invalid is not None:
            return Promise(Answer.UNKNOWN, f"libvirt refuses the definition: {self.invalid}")
        return self._by_feature(vendor) or self._by_other_features(vendor) or self._by_mode(vendor)

    def _by_feature(self, vendor: Vendor) -> Promise | None:
        policy = self.features.get(vendor.flag)
        if policy == UNDECIDED:
            return Promise(Answer.UNKNOWN, f"whether {self.text} has {vendor.flag} depends on the VMM's version")
        if policy in _OFF:
            return Promise(Answer.NO, f"the definition has {policy} {vendor.flag}", Cause.FEATURE_DISABLED)
        if policy in _ON or (policy == "optional" and self.mode == "custom" and self.unknown_mode is None):
            if other := self.refused_for(vendor):
                return Promise(Answer.UNKNOWN, f"libvirt does not start a domain that requires {other} on this host")
            return Promise(Answer.YES, f"the definition has {policy} {vendor.flag}")
        return None

    def refused_for(self, vendor: Vendor) -> str | None:
        """The other vendor's flag for which libvirt refuses to start the domain on `vendor`'s host.

        Libvirt compares what is required with the host's CPU (`qemuProcessUpdateGuestCPU` of src/qemu/qemu_process.c),
        unless the domain copies the host's or has check='none'. QEMU by itself leaves out what the host lacks.
        """
        if not self.is_libvirts or self.copies_host or self.check == "none":
            return None
        return next((each.flag for each in vendor.others if self.features.get(each.flag) == "require"), None)

    def _by_other_features(self, vendor: Vendor) -> Promise | None:
        policy = self.features.get(vendor.flag)
        if self.unknown_mode is not None:
            return Promise(Answer.UNKNOWN, self.unknown_mode)
        if policy is not None and not self.copies_host:
            return Promise(Answer.UNKNOWN, f"{policy} {vendor.flag} may be silently dropped")
        # A flag that is forced starts on any host, with what host-model gives beside it.
        refused = _ON - {"force"} if self.adds_host_features else _ON
        foreign = [each.flag for each in vendor.others if self.features.get(each.flag) in refused]
        if foreign and not self.copies_host:
            return Promise(
                Answer.NO, f"the definition asks for {foreign[0]}, the other vendor's flag", Cause.WRONG_VENDOR_FEATURE
            )
        return None

    def _by_mode(self, vendor: Vendor) -> Promise:
        if self.copies_host:
            return Promise(Answer.YES, f"{self.written or self.mode} copies the host's flags")
        if self.mode == "host-model":
            return _host_model(vendor)
        if self.mode == "custom" and self.is_minimum and vendor is not Vendor.IBM_Z:
            promise = _host_model(vendor)
            return replace(promise, reason=f"match='minimum' adds what host-model has, and {promise.reason}")
        if not self.has_known_mode:
            return Promise(Answer.UNKNOWN, f"the mode {self.mode[:40]!r} is not known")
        if vendor is Vendor.IBM_Z:
            return Promise(Answer.UNKNOWN, f"whether {self.text} has sie is not known")
        named = f"the model {self.model}" if self.model else "the hypervisor's default model"
        return Promise(Answer.NO, f"{named} has no {vendor.flag} under KVM", Cause.NAMED_MODEL_LACKS_FLAG)


def cpu_definition_of(domain: Element) -> CpuDefinition:
    """The CPU definition in a `<domain>` element."""
    arguments = list(deciding_arguments(passed_arguments(domain), under_kvm=domain.get("type") == "kvm"))
    passed_through = " ".join(arguments) or None
    security, cpu, os_type = domain.find("launchSecurity"), domain.find("cpu"), domain.find("os/type")
    encryption = None if security is None else security.get("type") or "of no known type"
    machine = None if os_type is None else os_type.get("machine")
    if cpu is None:
        svm = kept_svm("none", machine)
        return CpuDefinition(
            "none", features=svm, passed_through=passed_through, memory_encryption=encryption, is_libvirts=True
        )
    mode = cpu.get("mode", "custom")
    features = {feature.get("name", ""): feature.get("policy", "require") for feature in cpu.findall("feature")}
    return CpuDefinition(
        mode=mode,
        model=_text(cpu, "model"),
        vendor=_text(cpu, "vendor"),
        shown_vendor=_shown_vendor(cpu, mode),
        has_vmx_controls=any(name.startswith("vmx-") and policy in _ON for name, policy in features.items()),
        check=cpu.get("check"),
        is_minimum=cpu.get("match") == "minimum" and _text(cpu, "model") is not None,
        features=kept_svm(mode, machine) | features,
        passed_through=passed_through,
        memory_encryption=encryption,
        invalid="; ".join(_refusals(cpu)) or None,
        is_libvirts=True,
    )


def kept_svm(mode: str, machine: str | None) -> dict[str, str]:
    """The policy of svm that comes with an old machine type, which keeps what its models have; empty with any other."""
    is_kept = mode in {"none", "custom"} and machine is not None and _KEEPS_SVM.fullmatch(machine) is not None
    return {Vendor.AMD.flag: UNDECIDED} if is_kept else {}


def _refusals(cpu: Element) -> Iterator[str]:
    """What `virCPUDefParseXML` of src/conf/cpu_conf.c does not accept."""
    features = cpu.findall("feature")
    if features and cpu.get("mode", "custom") == "custom" and _text(cpu, "model") is None:
        yield "features without a model"
    if _text(cpu, "vendor") is not None and _text(cpu, "model") is None:
        yield "a vendor without a model"
    for attribute, values in _VALUES.items():
        value = cpu.get(attribute)
        if value is not None and value not in values:
            yield f"{value[:40]!r} is not a valid {attribute}"
    if "migratable" in cpu.attrib and cpu.get("mode", "custom") not in {"host-passthrough", "maximum"}:
        yield "migratable with a mode that does not copy the host's CPU"
    names = Counter(feature.get("name", "") for feature in features)
    yield from (
        f"the feature {name or 'without a name'} is listed {count} times" for name, count in names.items() if count > 1
    )
    yield from ("a feature without a name" for name in names if not name)
    model = cpu.find("model") if cpu.get("mode", "custom") in {"custom", "host-model"} else None
    if model is not None and model.get("fallback") not in {None, "allow", "forbid"}:
        yield f"{model.get('fallback', '')[:40]!r} is not a valid fallback"
    shown = None if model is None else model.get("vendor_id")
    if shown and (len(shown) != _VENDOR_ID_LENGTH or "," in shown):
        yield f"{shown[:40]!r} is not a vendor_id of {_VENDOR_ID_LENGTH} letters"
    policies = dict.fromkeys(feature.get("policy", "require") for feature in features)
    yield from (f"{policy[:40]!r} is not a valid policy" for policy in policies if policy not in _POLICIES)


def _text(cpu: Element, tag: str) -> str | None:
    return (cpu.findtext(tag) or "").strip() or None


def _shown_vendor(cpu: Element, mode: str) -> str | None:
    """The vendor_id of the model, which libvirt reads with the modes that have a model."""
    model = cpu.find("model")
    return None if model is None or mode not in {"custom", "host-model"} else model.get("vendor_id")


def _host_model(vendor: Vendor) -> Promise:
    if vendor is Vendor.AMD:
        return Promise(Answer.NO, "host-model omits svm on AMD", Cause.HOST_MODEL_DROPS_SVM)
    where = "copies sie on s390x" if vendor is Vendor.IBM_Z else "requires vmx on Intel"
    return Promise(Answer.YES, f"host-model {where}")
