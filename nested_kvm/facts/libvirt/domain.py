"""A libvirt domain: its type, whether it runs, its persistent CPU definition and its running one.

What libvirt prints of a domain, reduced to what counts here:

    <domain type='kvm' id='7'><name>ci-1</name><cpu mode='host-passthrough'/></domain>
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from nested_kvm.errors import NotCollected, NotObserved
from nested_kvm.evidence.bundle import DomainRecord
from nested_kvm.evidence.expansion import UNANSWERED
from nested_kvm.evidence.expansion.question import NotAskable, Question
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.asked_definition import AskedDefinition
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition, Promise, cpu_definition_of
from nested_kvm.facts.libvirt.usable_flag import why_not_usable
from nested_kvm.model.answer import Answer
from nested_kvm.model.architecture import Architecture, architecture_of
from nested_kvm.model.cause import Cause
from nested_kvm.model.form import Form
from nested_kvm.model.layer import Layer
from nested_kvm.model.verdict import Evidence

_ACTIVE: Final = frozenset({"running", "idle", "paused", "in shutdown", "pmsuspended"})
"""The states of a domain that has a QEMU process."""
_QEMU: Final = re.compile(
    r"(?!.*(wrap|shim|proxy|hook|launch|script|\.(sh|bash|py|pl|rb)$))(qemu|qemu-system-[\w.+-]+|(qemu-)?kvm([.-][\w.+-]+)?)"
)
"""The names under which distributions install QEMU, and none of those that its wrappers have."""
_MACHINES: Final = {
    "x86": ("pc", "q35", "isapc", "microvm"),
    "s390x": ("s390-ccw",),
    "ppc64": ("pseries", "powernv", "g3beige", "mac99"),
    "arm64": ("virt", "sbsa-ref", "raspi", "vexpress"),
}
"""How the names of QEMU's machine types start, by architecture."""


@dataclass(frozen=True, slots=True)
class ProcessCheck:
    """How the QEMU process of a running domain compares with its live XML; both are None where they agree."""

    contradiction: str | None = None
    """What the process does otherwise than the XML says."""
    doubt: str | None = None
    """Why it is not known whether they agree."""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain. `live_cpu` is None while the domain does not run.

    Source: libvirt's XML of the domain, persistent and live; without libvirt, the arguments of its QEMU process.
    """

    name: str
    uuid: str
    type: str
    """The domain type: `kvm`, or `qemu` where the domain is emulated."""
    state: str
    is_transient: bool
    cpu: CpuDefinition
    """The CPU that the next start gives the domain; of a transient domain, the running one."""
    live_cpu: CpuDefinition | None
    process: str | None = None
    """Where to find the domain's QEMU process, on a host without libvirt; None: it is libvirt's domain."""
    file: str | None = None
    """The file with the definition, for a domain that is not defined yet, or that an estate lists."""
    form: Form | None = None
    """The form of that file."""
    place: str = ""
    """Where in that file the definition of the CPU stands, as it follows the file's name: `:12`."""
    live_type: str | None = None
    """The domain type in the live XML."""
    runs_on: str | None = None
    """The node that runs it, of a guest that a file describes as running."""
    architecture: str | None = None
    """The guest's architecture in the XML; None: the host's."""
    os_type: str | None = None
    machine: str | None = None
    emulator: str | None = None
    """The program that libvirt starts for it; None: libvirt's own choice."""
    process_check: ProcessCheck = ProcessCheck()
    vmm: Layer | None = None
    """The VMM that runs it without libvirt, where that is not QEMU."""
    beside: tuple[Evidence, ...] = ()
    """What else an estate shows about the guest's host; it decides nothing."""
    asked: AskedDefinition | None = None
    """What the host's own libvirt and QEMU make of the definition; None: they were not asked, or do not decide."""
    question: Question | NotAskable | None = None
    """What they can be asked about the guest of a file; None: it is not from a file of candidates."""
    unasked: str | None = None
    """Why they were not asked, or what kept them from an answer, where they were to be asked."""

    @property
    def runs_under_kvm(self) -> bool:
        """Whether the domain runs under KVM rather than being emulated."""
        return self.type == "kvm"

    @property
    def is_of_another_hypervisor(self) -> bool:
        """Whether neither KVM nor QEMU's emulation runs the domain, as with `<domain type='hyperv'>`."""
        return self.type not in {"kvm", "qemu"}

    @property
    def is_paused(self) -> bool:
        """Whether its vCPUs do not run, so that nothing answers in it."""
        return self.state.lower().startswith(("paused", "pmsuspended", "crashed"))

    @property
    def is_contradictory(self) -> bool:
        """Whether its state is that of a domain with a QEMU process, and libvirt gave no live XML of it."""
        return self.live_cpu is None and self.state.lower() in _ACTIVE

    @property
    def is_running(self) -> bool:
        """Whether the domain has a QEMU process now."""
        return self.live_cpu is not None

    @property
    def inactive_source(self) -> str:
        """Where to find the persistent definition."""
        in_file = None if self.file is None else f"{self.file}{self.place}"
        return in_file or self.process or f"virsh dumpxml {'' if self.is_transient else '--inactive '}{self.name}"

    @property
    def live_source(self) -> str:
        """Where to find the running definition."""
        return self.process or f"virsh dumpxml {self.name}"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The domain's type, its definition and its running CPU."""
        defined = Evidence(self.inactive_source, f"type={self.type}, cpu: {self.cpu.text}")
        asked = () if self.asked is None else self.asked.evidence
        if self.file is not None:
            unasked = () if self.unasked is None else (Evidence(UNANSWERED, f"no answer: {self.unasked}"),)
            return (defined, *asked, *unasked, *self._evidence_of_run, *self.beside)
        if self.process is not None:
            return (defined,)
        if self.live_cpu is None:
            return (defined, *asked, Evidence("virsh domstate", self.state), *self.process_check.evidence)
        return (defined, *asked, Evidence(self.live_source, f"cpu: {self.live_cpu.text}"), *self.process_check.evidence)

    @property
    def _evidence_of_run(self) -> tuple[Evidence, ...]:
        """What shows how the guest of a file runs."""
        if self.process is not None and self.live_cpu is not None:
            return (Evidence(self.process, f"cpu: {self.live_cpu.text}"),)
        return self.process_check.evidence

    @property
    def may_be_wrapped(self) -> bool:
        """Whether the next start may give QEMU another CPU: its program is not QEMU by its name.

        Of a domain that runs the process shows the CPU, whatever started it.
        """
        program = (self.emulator or "").rpartition("/")[2]
        return self.emulator is not None and not self.is_running and _QEMU.fullmatch(program) is None

    def refused_on(self, host: Architecture | None) -> str | None:
        """Why libvirt on a host of that architecture would not start the domain under KVM; None: nothing is known."""
        if host is None:
            return None
        if self.architecture is not None and architecture_of(self.architecture) is not host:
            return f"its architecture is {self.architecture[:40]}, and the host's is {host.name}"
        if self.os_type not in {None, "hvm"}:
            return f"its os type is {(self.os_type or '')[:40]}, and KVM runs hvm only"
        foreign = [
            each for prefixes in (_MACHINES[name] for name in _MACHINES if name != host.name) for each in prefixes
        ]
        if self.machine == "none" or (self.machine or "").startswith(tuple(foreign)):
            return f"its machine type {(self.machine or '')[:40]} is not one of {host.name}"
        return None

    def promise(self, vendor: Vendor) -> Promise:
        """Whether the persistent definition gives `vendor`'s flag.

        What the live XML shows of a running host-model or an `optional` feature takes precedence over the rule, with
        one exception: a flag that host-model never gives may come from a feature that was removed since the start.
        Where the definition was certainly changed, the live XML belongs to another definition and decides nothing.
        What the host's own programs answered about the definition (`--active`) decides over both. A translation does
        not compare what is required with the host's CPU: a domain that libvirt does not start stays one.
        """
        by_rule = self.promise_by_rule(vendor)
        if self.unasked is not None:
            return replace(
                by_rule, reason=f"{by_rule.reason} (by the rule, as the host gave no answer: {self.unasked})"
            )
        if self.asked is None:
            return by_rule
        answered, foreign = self.asked.decide(by_rule), self.cpu.refused_for(vendor)
        if foreign is not None and answered.gives_flag is Answer.YES:
            return Promise(Answer.UNKNOWN, f"libvirt does not start a domain that requires {foreign} on this host")
        return answered

    def promise_by_rule(self, vendor: Vendor) -> Promise:
        """Whether the persistent definition gives `vendor`'s flag, whatever the host's own programs answered."""
        by_rule = self.cpu.promise(vendor)
        live = self.live_cpu
        is_open = by_rule.gives_flag is Answer.UNKNOWN and not self.cpu.may_be_overridden
        from_host_model = self.cpu.mode == "host-model" and vendor.flag not in self.cpu.features
        if live is None or not (is_open or from_host_model) or self.changed_since_start(vendor) is not None:
            return by_rule
        return _seen(live, vendor, by_rule) or by_rule

    def why_not_usable(self, vendors: Sequence[Vendor]) -> str | None:
        """Why KVM in the guest may not use the flag that its definition gives it, on a host of one of these vendors."""
        given = (vendor for vendor in vendors if self.promise(vendor).gives_flag is Answer.YES)
        return next(filter(None, (why_not_usable(self.cpu, vendor) for vendor in given)), None)

    def promise_by(self, vendors: Sequence[Vendor]) -> Promise:
        """Whether the definition gives the flag on a host of each of these vendors; unknown where they differ."""
        promises = [self.promise(vendor) for vendor in vendors]
        first = promises[0]
        if all(each.gives_flag is first.gives_flag for each in promises):
            reasons = "; ".join(dict.fromkeys(each.reason for each in promises))
            return replace(first, reason=reasons)
        words = {Answer.YES: "yes", Answer.NO: "no", Answer.UNKNOWN: "not known"}
        cases = zip(vendors, promises, strict=True)
        depends = "; ".join(f"with {vendor.flag} {words[each.gives_flag]}: {each.reason}" for vendor, each in cases)
        return Promise(Answer.UNKNOWN, f"the host's CPU decides ({depends})")

    def changed_since_start(self, vendor: Vendor, host_offers_flag: Callable[[], bool] = lambda: True) -> str | None:
        """How the running CPU differs from the persistent one; None: they agree, or the domain does not run.

        Only what cannot come from libvirt's own expansion counts: the mode, the model, the flag's policy. On a host
        with nested off libvirt itself disables a flag that the definition requires: there no power cycle would help.
        `host_offers_flag` is called only where that matters, and may raise `ObservationError`.
        """
        live = self.live_cpu
        if live is None or self.is_transient:
            return None
        if self.file is not None:
            return self._changed_since_file(live) or self._flag_changed(live, vendor, host_offers_flag)
        return self._surroundings_changed(live) or self._cpu_changed(live, vendor, host_offers_flag)

    def why_not_compared(self, vendor: Vendor) -> str | None:
        """Why it is not known that the running CPU is the persistent one, although no difference is certain.

        What libvirt itself expands, such as an optional feature, is no reason.
        """
        live = self.live_cpu
        if live is None or self.is_transient or live == self.cpu:
            return None
        pair = (self.cpu, live)
        if self.file is not None:
            promises = (each.promise(vendor) for each in pair)
            return next((each.reason for each in promises if each.gives_flag is Answer.UNKNOWN), None)
        if self.cpu.passed_through != live.passed_through:
            arguments = [each.passed_through or "nothing" for each in pair]
            return f"<qemu:commandline> passes {arguments[0]} to QEMU by now, and passed {arguments[1]} at the start"
        asked, given = (replace(each, passed_through=None).promise(vendor).gives_flag for each in pair)
        if self.cpu.passed_through is not None and {asked, given} == {Answer.YES, Answer.NO}:
            return f"<qemu:commandline> passes {self.cpu.passed_through} to QEMU, and the CPU was changed beside it"
        unknown = next((each.mode[:40] for each in pair if not each.has_known_mode), None)
        return None if unknown is None else f"the mode {unknown!r} is not known"

    def _changed_since_file(self, live: CpuDefinition) -> str | None:
        """How what a file defines differs from what runs: the words of a file are not those of a process."""
        if self.live_type not in {None, self.type}:
            return _differ(f"of a guest of type {self.live_type}", f"type {self.type}")
        if (live.memory_encryption is None) is not (self.cpu.memory_encryption is None):
            return _differ(_encryption(live), _encryption(self.cpu))
        return None

    def _surroundings_changed(self, live: CpuDefinition) -> str | None:
        if self.live_type not in {None, self.type}:
            return _differ(f"of a domain of type {self.live_type}", f"type {self.type}")
        if live.memory_encryption != self.cpu.memory_encryption:
            return _differ(_encryption(live), _encryption(self.cpu))
        return None

    def _cpu_changed(self, live: CpuDefinition, vendor: Vendor, host_offers_flag: Callable[[], bool]) -> str | None:
        if self.cpu.copies_host or live.copies_host:
            if self.cpu.mode != live.mode:
                return _differ(live.text, self.cpu.text)
        elif self.cpu.mode == "host-model":
            if not live.looks_expanded_from_host_model(vendor):
                return f"running CPU is {live.text.removeprefix('custom, ')}, which host-model never expands to"
        elif self.cpu.model is not None and not self._may_run_as(live, self.cpu.model, vendor):
            return _differ(f"model {live.model}", f"model {self.cpu.model}")
        return self._flag_changed(live, vendor, host_offers_flag)

    def _may_run_as(self, live: CpuDefinition, model: str, vendor: Vendor) -> bool:
        """Whether a guest of that model may run with `live`: with match='minimum' it gets the host's model."""
        return live.may_name_the_model(model) or (self.cpu.is_minimum and live.looks_expanded_from_host_model(vendor))

    def _flag_changed(self, live: CpuDefinition, vendor: Vendor, host_offers_flag: Callable[[], bool]) -> str | None:
        asked, given = self.cpu.promise(vendor).gives_flag, live.promise(vendor).gives_flag
        is_free = self.cpu.mode == "host-model" and vendor.flag not in self.cpu.features and asked is Answer.NO
        withheld = asked is Answer.YES and given is Answer.NO and not host_offers_flag()
        if is_free or withheld or Answer.UNKNOWN in {asked, given} or asked is given:
            return None
        return _differ(live.text, self.cpu.text)


def _encryption(cpu: CpuDefinition) -> str:
    return f"with memory encryption {cpu.memory_encryption}" if cpu.memory_encryption else "without memory encryption"


def _differ(running: str, defined: str) -> str:
    return f"running CPU is {running.removeprefix('custom, ')}; the definition says {defined.removeprefix('custom, ')}"


def _seen(live: CpuDefinition, vendor: Vendor, by_rule: Promise) -> Promise | None:
    """What the live XML says about the flag; None: it does not name it."""
    policy = live.features.get(vendor.flag)
    if policy in {"require", "force"} and by_rule.gives_flag is Answer.NO:
        return Promise(Answer.UNKNOWN, f"{by_rule.reason}, and the live XML has {policy} {vendor.flag}")
    if policy in {"require", "force"}:
        return Promise(Answer.YES, f"the live XML has {policy} {vendor.flag}")
    if policy in {"disable", "forbid"}:
        return Promise(Answer.NO, f"the live XML has {policy} {vendor.flag}", by_rule.cause or Cause.FEATURE_DISABLED)
    return None


def domain_of(record: DomainRecord) -> Domain:
    """The domain that libvirt's record describes.

    Raises:
        NotCollected: the support archive does not hold the definition.
        NotObserved: the record is not complete.
    """
    if record.not_collected is not None:
        raise NotCollected(f"domain {record.name}: {record.not_collected}")
    if record.inactive_xml is None or record.problem is not None:
        raise NotObserved(f"domain {record.name}: {record.problem or 'libvirt gave no definition'}")
    inactive = parse_domain_xml(record.inactive_xml)
    live = None if record.live_xml is None else parse_domain_xml(record.live_xml)
    os_type = inactive.find("os/type")
    return Domain(
        name=record.name,
        uuid=record.uuid,
        type=inactive.get("type", ""),
        state=record.state,
        is_transient=record.is_persistent is False,
        cpu=cpu_definition_of(inactive),
        live_cpu=None if live is None else cpu_definition_of(live),
        live_type=None if live is None else live.get("type"),
        architecture=None if os_type is None else os_type.get("arch"),
        os_type=None if os_type is None else (os_type.text or "").strip(),
        machine=None if os_type is None else os_type.get("machine"),
        emulator=(inactive.findtext("devices/emulator") or "").strip() or None,
    )
