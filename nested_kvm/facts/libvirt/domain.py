"""A libvirt domain: its type, whether it runs, its persistent CPU definition and the one it runs with."""

from collections.abc import Callable
from dataclasses import dataclass

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import DomainRecord
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition, Promise, cpu_definition_of
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain. `live_cpu` is None while it does not run.

    Source: libvirt's XML of the domain, persistent and live; without libvirt, the arguments of its QEMU process.
    """

    name: str
    uuid: str
    type: str
    """`kvm`, or `qemu` where it is emulated."""
    state: str
    is_transient: bool
    cpu: CpuDefinition
    """What it is started with next; of a transient domain, what it runs with."""
    live_cpu: CpuDefinition | None
    process: str | None = None
    """Where a person finds its QEMU process, on a host without libvirt; None: libvirt knows it."""
    file: str | None = None
    """Where its definition is, where that is all there is of it yet."""

    @property
    def runs_under_kvm(self) -> bool:
        """Whether its vCPUs are the CPU's own."""
        return self.type == "kvm"

    @property
    def is_running(self) -> bool:
        """Whether a QEMU process holds it."""
        return self.live_cpu is not None

    @property
    def inactive_source(self) -> str:
        """Where a person finds its persistent definition."""
        return self.process or self.file or f"virsh dumpxml {'' if self.is_transient else '--inactive '}{self.name}"

    @property
    def live_source(self) -> str:
        """Where a person finds what it runs with."""
        return f"virsh dumpxml {self.name}"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Type, definition, and what it runs with."""
        defined = Evidence(self.inactive_source, f"type={self.type}, cpu: {self.cpu.text}")
        if self.process is not None or self.file is not None:
            return (defined,)
        if self.live_cpu is None:
            return (defined, Evidence("virsh domstate", self.state))
        return (defined, Evidence(self.live_source, f"cpu: {self.live_cpu.text}"))

    def promise(self, vendor: Vendor) -> Promise:
        """Whether its persistent definition gives `vendor`'s flag.

        What a running host-model or an `optional` feature came to decides over the rule, but for one thing: a flag
        that host-model never gives by itself may come from a feature that was taken out since the start. Where the
        definition surely was changed, the live XML speaks of another one, and decides nothing.
        """
        by_rule = self.cpu.promise(vendor)
        live = self.live_cpu
        is_open = by_rule.gives_flag is Answer.UNKNOWN and self.cpu.passed_through is None
        from_host_model = self.cpu.mode == "host-model" and vendor.flag not in self.cpu.features
        if live is None or not (is_open or from_host_model) or self.changed_since_start(vendor) is not None:
            return by_rule
        return _seen(live, vendor, by_rule) or by_rule

    def changed_since_start(self, vendor: Vendor, host_offers_flag: Callable[[], bool] = lambda: True) -> str | None:
        """How the running CPU differs from the persistent one; None: they agree, or nothing runs.

        Only what cannot come from libvirt's own expansion counts: the mode, the model, the flag's policy. On a host
        with nested off libvirt itself disables a flag that the definition requires: there no start would change it.
        `host_offers_flag` is asked only where that matters, and may raise `ObservationError`.
        """
        live = self.live_cpu
        if live is None or self.is_transient:
            return None
        if self.cpu.copies_host or live.copies_host:
            if self.cpu.mode != live.mode:
                return f"it runs with {live.text}, and is defined as {self.cpu.text}"
        elif self.cpu.mode == "host-model":
            if not live.looks_expanded_from_host_model(vendor):
                return f"it runs with {live.text}, which no host-model becomes"
        elif self.cpu.model is not None and not live.may_name_the_model(self.cpu.model):
            return f"it runs with the model {live.model}, and is defined with {self.cpu.model}"
        return self._flag_changed(live, vendor, host_offers_flag)

    def _flag_changed(self, live: CpuDefinition, vendor: Vendor, host_offers_flag: Callable[[], bool]) -> str | None:
        asked, given = self.cpu.promise(vendor).gives_flag, live.promise(vendor).gives_flag
        is_free = self.cpu.mode == "host-model" and vendor.flag not in self.cpu.features
        withheld = asked is Answer.YES and given is Answer.NO and not host_offers_flag()
        if is_free or withheld or Answer.UNKNOWN in {asked, given} or asked is given:
            return None
        return f"it runs with {live.text}, and is defined as {self.cpu.text}"


def _seen(live: CpuDefinition, vendor: Vendor, by_rule: Promise) -> Promise | None:
    """What the live XML says of the flag by name; None: nothing."""
    policy = live.features.get(vendor.flag)
    if policy in {"require", "force"} and by_rule.gives_flag is Answer.NO:
        return Promise(Answer.UNKNOWN, f"{by_rule.reason}, and its live XML says {policy} {vendor.flag}")
    if policy in {"require", "force"}:
        return Promise(Answer.YES, f"its live XML says {policy} {vendor.flag}")
    if policy in {"disable", "forbid"}:
        return Promise(Answer.NO, f"its live XML says {policy} {vendor.flag}", by_rule.cause or Cause.FEATURE_DISABLED)
    return None


def domain_of(record: DomainRecord) -> Domain:
    """The domain of libvirt's record.

    Raises:
        NotObserved: libvirt could not tell all of it.
    """
    if record.inactive_xml is None or record.problem is not None:
        raise NotObserved(f"domain {record.name}: {record.problem or 'libvirt gave no definition'}")
    inactive = parse_domain_xml(record.inactive_xml)
    live = None if record.live_xml is None else cpu_definition_of(parse_domain_xml(record.live_xml))
    return Domain(
        name=record.name,
        uuid=record.uuid,
        type=inactive.get("type", ""),
        state=record.state,
        is_transient=record.is_persistent is False,
        cpu=cpu_definition_of(inactive),
        live_cpu=live,
    )
