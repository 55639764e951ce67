"""The chain that nesting depends on, from the L0's CPU to a running L2, and the state of each link."""

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Final

from nested_kvm.errors import NotObserved, ObservationError
from nested_kvm.facts.kernel.identity import dmi_uuid_of, is_same_machine
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.fleet.machine import Machine
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.link import LinkName
from nested_kvm.model.verdict import Finding, NotChecked, Undecided, Verdict, require
from nested_kvm.results.diagnosis import LinkState, SeenLink


class Pair:
    """A guest and its host. Each property may raise `ObservationError`.

    Source: what is observed in the guest and on its host; see the other controls.
    """

    def __init__(self, host: Machine | None, guest: Machine) -> None:
        self.known_host = host
        """The L0, where the inventory names it."""
        self.guest = guest

    @property
    def host(self) -> Machine:
        """The L0."""
        if self.known_host is None:
            raise NotObserved(f"the host of {self.guest.target.name} was not inspected")
        return self.known_host

    @property
    def inside(self) -> Machine:
        """The L1, inspected from inside."""
        if self.guest.target.address is None:
            raise NotObserved(f"{self.guest.target.name} has no address: it was not inspected from inside")
        dmi_uuid_of(self.guest.bundle)  # raises where the probe's answer ended before it
        if self.is_another_machine:
            raise NotObserved(f"another machine answers at the address of {self.guest.target.name}")
        return self.guest

    @cached_property
    def is_another_machine(self) -> bool:
        """Whether the machine at the guest's address is certainly not the domain.

        Only root may read the uuid of a guest: where it is not shown, the inventory is believed.
        """
        try:
            own, uuid = dmi_uuid_of(self.guest.bundle), self.domain.uuid
        except ObservationError:
            return False
        return bool(own and uuid) and not is_same_machine(own or "", uuid)

    @cached_property
    def domain(self) -> Domain:
        """The L1 as its host's libvirt describes it."""
        return self.host.domain(self.guest.target.domain or self.guest.target.name)

    @property
    def shows_flag(self) -> bool:
        """Whether the guest shows the flag on every vCPU, whatever its definition promises."""
        try:
            return self.inside.cpu.all_show_flag
        except ObservationError:
            return False


def _l0_cpu(pair: Pair) -> None:
    cpu = pair.host.cpu
    cause = Cause.L0_IS_A_GUEST if pair.host.platform.is_virtual else Cause.CPU_LACKS_FLAG
    message = f"{cpu.count_with_flag} of {len(cpu.flags)} CPUs of the host show {cpu.flag}"
    if not cpu.all_show_flag and pair.host.kernel_log.firmware_disabled:
        return  # The next link reports it.
    require(cpu.all_show_flag, cause, message, *cpu.evidence)


def _l0_firmware(pair: Pair) -> None:
    """Check the firmware by the kernel log; a loaded module proves it where the log is not readable."""
    log = pair.host.kernel_log
    said = log.firmware_disabled
    require(not said, Cause.FIRMWARE_DISABLED, "virtualization is disabled in the host's firmware", *said)
    if not log.is_readable and not pair.host.kvm_module.is_loaded:
        raise Undecided("the host's kernel log is not readable")


def _l0_module(pair: Pair) -> None:
    module, device = pair.host.kvm_module, pair.host.kvm_device
    if not module.is_loaded and module.other_hypervisors:
        message = f"{module.name} is not loaded on the host"
        raise Finding(Cause.OTHER_HYPERVISOR_OWNS_CPU, message, *module.evidence)
    if not module.is_loaded:
        raise _absent(pair.host, "on the host")
    require(device.is_kvm, Cause.DEV_KVM_MISSING, "the host has no /dev/kvm", *device.evidence)


def _absent(machine: Machine, where: str) -> Finding:
    absence = machine.kvm_absence
    why = f": {absence.reason}" if absence.reason else ""
    return Finding(
        absence.cause, f"{machine.kvm_module.name} {machine.kvm_module.lack} {where}{why}", *absence.evidence
    )


def _l0_nested(pair: Pair) -> None:
    nesting = pair.host.nesting
    if nesting.offered is Answer.UNKNOWN:
        raise Undecided(nesting.reason)
    require(nesting.offered is Answer.YES, Cause.NESTED_OFF, nesting.reason, *nesting.evidence)
    _require_sound_kernel(pair.host)


def _require_sound_kernel(host: Machine) -> None:
    with suppress(ObservationError):
        faults = host.kernel_faults
        message = f"the host runs {faults.release}: {', '.join(each.effect for each in faults.settled)}"
        require(not faults.settled, Cause.KERNEL_FAULT, message, *faults.evidence)


def _domain_type(pair: Pair) -> None:
    domain = pair.domain
    if domain.is_of_another_hypervisor:
        raise Undecided(f"its type is {domain.type}: another hypervisor than KVM runs it")
    require(domain.runs_under_kvm, Cause.DOMAIN_EMULATED, f"its type is {domain.type}", *domain.evidence)


def _domain_definition(pair: Pair) -> None:
    """Check that no memory is encrypted, and the flag in the definition unless the running guest shows it already."""
    vendor = pair.host.cpu.require_vendor()
    promise, encryption = pair.domain.promise(vendor), pair.domain.cpu.memory_encryption
    if encryption is not None:
        message = f"the guest's memory is encrypted ({encryption}), so it cannot run KVM"
        raise Finding(Cause.MEMORY_ENCRYPTION, message, *pair.domain.evidence)
    if pair.shows_flag:
        return
    unusable = pair.domain.why_not_usable([vendor])
    if unusable is not None:
        raise Undecided(f"whether the guest can use {vendor.flag} is not known: {unusable}")
    if promise.gives_flag is Answer.YES:
        return
    if promise.gives_flag is Answer.UNKNOWN:
        raise Undecided(promise.reason)
    cause = promise.cause or Cause.FEATURE_DISABLED
    raise Finding(cause, f"{vendor.flag} is not exposed: {promise.reason}", *pair.domain.evidence)


def _domain_running(pair: Pair) -> None:
    if not pair.domain.is_running:
        raise Undecided(f"the domain is {pair.domain.state}")
    vendor = pair.host.cpu.require_vendor()
    changed = pair.domain.changed_since_start(vendor, pair.host.kvm_module.offers_nested)
    if pair.shows_flag:
        return
    require(changed is None, Cause.POWER_CYCLE_PENDING, changed or "", *pair.domain.evidence)
    contradiction = pair.domain.process_check.contradiction
    doubt = pair.domain.process_check.doubt or pair.domain.why_not_compared(vendor)
    require(contradiction is None, Cause.PROCESS_CONTRADICTS_DEFINITION, contradiction or "", *pair.domain.evidence)
    if doubt is not None:
        raise Undecided(doubt)


def _l1_cpu(pair: Pair) -> None:
    cpu = pair.inside.cpu
    message = f"{cpu.count_with_flag} of {len(cpu.flags)} vCPUs show {cpu.flag}"
    memory = pair.inside.encrypted_memory
    signs = memory.signs if cpu.all_show_flag else memory.seen
    require(not signs, Cause.MEMORY_ENCRYPTION, "the guest's memory is encrypted, so it cannot run KVM", *signs)
    require(cpu.all_show_flag, Cause.FLAG_MISSING, message, *cpu.evidence)


def _l1_module(pair: Pair) -> None:
    if not pair.inside.kvm_module.is_loaded:
        raise _absent(pair.inside, "in the guest")


def _l1_device(pair: Pair) -> None:
    device = pair.inside.kvm_device
    require(device.is_kvm, Cause.DEV_KVM_MISSING, "the guest has no /dev/kvm", *device.evidence)


def _l2_boot(pair: Pair) -> None:
    if not pair.guest.is_observed or pair.guest.l2_boot.answers is None:
        raise NotChecked("no L2 was started: use --active")
    boot = pair.inside.l2_boot
    if boot.answers is Answer.UNKNOWN:
        raise Undecided(boot.reason)
    require(boot.answers is Answer.YES, Cause.L2_DOES_NOT_BOOT, boot.reason, *boot.evidence)


_LOOKS: Final[dict[LinkName, Callable[[Pair], None]]] = {
    LinkName.L0_CPU: _l0_cpu,
    LinkName.L0_FIRMWARE: _l0_firmware,
    LinkName.L0_MODULE: _l0_module,
    LinkName.L0_NESTED: _l0_nested,
    LinkName.DOMAIN_TYPE: _domain_type,
    LinkName.DOMAIN_DEFINITION: _domain_definition,
    LinkName.DOMAIN_RUNNING: _domain_running,
    LinkName.L1_CPU: _l1_cpu,
    LinkName.L1_MODULE: _l1_module,
    LinkName.L1_DEVICE: _l1_device,
    LinkName.L2_BOOT: _l2_boot,
}


def walk(pair: Pair, names: Container[LinkName] = frozenset(LinkName)) -> Iterator[SeenLink]:
    """Check every link, or those of these names, in order; past the first broken one, for a picture shows them all."""
    for name, look in _LOOKS.items():
        if name in names:
            yield _seen(name, look, pair)


def first_break(pair: Pair) -> SeenLink | None:
    """The first broken link of a guest's chain; see `first_broken`."""
    return first_broken(walk(pair))


def first_broken(links: Iterable[SeenLink]) -> SeenLink | None:
    """The first broken link; undiagnosed if it is `l1-cpu` and every link before it holds."""
    before: list[SeenLink] = []
    for link in links:
        if link.finding is not None:
            return _undiagnosed(link, before)
        before.append(link)
    return None


def _undiagnosed(link: SeenLink, before: list[SeenLink]) -> SeenLink:
    finding = link.finding
    if finding is None or link.name is not LinkName.L1_CPU or any(each.state is not LinkState.HOLDS for each in before):
        return link
    return replace(link, finding=Finding(Cause.UNDIAGNOSED, finding.message, *finding.evidence))


def _seen(name: LinkName, look: Callable[[Pair], None], pair: Pair) -> SeenLink:
    try:
        look(pair)
    except Finding as finding:
        return SeenLink(name, LinkState.BROKEN, finding.message, finding)
    except NotChecked as reason:
        return SeenLink(name, LinkState.NOTCHECKED, str(reason))
    except (ObservationError, Verdict) as reason:
        return SeenLink(name, LinkState.UNSEEN, str(reason))
    return SeenLink(name, LinkState.HOLDS)
