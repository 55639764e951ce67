"""Why a guest cannot nest: the first broken link of its chain, its cause, and the commands to fix it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace

from nested_kvm.controls.chain import Pair, first_broken, walk
from nested_kvm.errors import LimitExceeded, ObservationError
from nested_kvm.facts.kernel.kvm_module import PVM
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Level
from nested_kvm.model.layer import Layer
from nested_kvm.model.link import LinkName
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import remediation
from nested_kvm.remediation.domain import resume
from nested_kvm.results.diagnosis import Diagnosis, LinkState, SeenLink

Limit = Callable[[str], AbstractContextManager[None]]


def unlimited(_target: str) -> AbstractContextManager[None]:
    """No limit on what is computed from a target's evidence."""
    return nullcontext()


def diagnose(fleet: Fleet, limit: Limit = unlimited) -> Iterator[Diagnosis]:
    """One diagnosis for each L1 with a policy; `limit` bounds what is computed from a target's evidence."""
    for guest in (each for each in fleet.subjects(Level.L1) if each.policy.binding):
        target = guest.machine.target
        try:
            with limit(target.name):
                diagnosis = _diagnose(fleet, guest)
        except LimitExceeded as error:
            diagnosis = Diagnosis(target.name, target.host, Answer.UNKNOWN, (), str(error))
        yield diagnosis


def _diagnose(fleet: Fleet, guest: Subject) -> Diagnosis:
    pair = Pair(fleet.machines.get(guest.machine.target.host or ""), guest.machine)
    return replace(_walked(fleet, guest, pair), warnings=tuple(_warnings(pair)))


def _walked(fleet: Fleet, guest: Subject, pair: Pair) -> Diagnosis:
    target = guest.machine.target
    links = tuple(walk(pair))
    broken = first_broken(links)
    if broken is not None and broken.finding is not None:
        return _broken(fleet, guest, broken.name, broken.finding, links)
    unseen = [link for link in links if link.state is LinkState.UNSEEN]
    if unseen:
        cause = _out_of_reach(fleet, guest, pair)
        reason = f"{unseen[0].name} is undetermined: {unseen[0].text}"
        remedies: list[str] = []
        if cause is Cause.DOMAIN_PAUSED:
            reason = f"{reason}; the domain is {pair.domain.state}: nothing in it runs"
            remedies = resume(fix_location(guest, pair.known_host, LinkName.DOMAIN_RUNNING))
        return Diagnosis(
            target.name, target.host, Answer.UNKNOWN, links, reason, cause=cause, remediation=tuple(remedies)
        )
    return Diagnosis(target.name, target.host, Answer.YES, links, "Every link holds.")


def _warnings(pair: Pair) -> Iterator[str]:
    """What will break later. A fact that could not be read gives no warning: its control is an error already."""
    with suppress(ObservationError):
        if pair.host.kvm_module.is_loaded and pair.host.neighbours.may_take_the_cpu:
            names = ", ".join(pair.host.neighbours.names)
            yield f"may lose the CPU on {pair.host.target.name} to {names}: KVM runs with enable_virt_at_load=N"
    with suppress(ObservationError):
        missing = ", ".join(pair.host.assists.not_offered) if pair.host.cpu.is_x86 else ""
        if missing:
            yield f"may not start an L2: the CPU of {pair.host.target.name} has no {missing}"
    with suppress(ObservationError):
        next_load = pair.host.next_load
        if next_load.fails or next_load.nested is False:
            how = next_load.reason or f"nested will be off, set by {next_load.said_by}"
            yield f"will stop nesting when {pair.host.target.name} reboots: {next_load.module}: {how}"
    with suppress(ObservationError):
        if pair.inside.platform.layer is Layer.XEN and pair.shows_flag:
            yield f"may end when it starts an L2: {pair.guest.target.name} runs on Xen, which an L2 under KVM can crash"
    with suppress(ObservationError):
        if pair.inside.boot_load.loads is Answer.NO:
            yield f"will run no VM after {pair.guest.target.name} reboots: {pair.inside.boot_load.reason}"
    for machine in (pair.known_host, pair.guest):
        if machine is not None:
            yield from _of_kernel(machine)
    with suppress(ObservationError):
        promise = pair.domain.promise(pair.host.cpu.require_vendor())
        if pair.shows_flag and promise.gives_flag is Answer.NO:
            yield f"will stop nesting when {pair.domain.name} is next started: {promise.reason}"


def _of_kernel(machine: Machine) -> Iterator[str]:
    name = machine.target.name
    with suppress(ObservationError):
        faults = machine.kernel_faults
        for each in faults.reported:
            yield f"may fail, for of {faults.release} on {name} it was reported: {each.effect} ({each.source})"
    with suppress(ObservationError):
        if machine.kvm_module.is_loaded:
            for item in machine.kernel_log.refusals_of_one_cpu(machine.kvm_module.name):
                yield f"cannot run VMs on every CPU of {name}: {item.text}"
    with suppress(ObservationError):
        if machine.kvm_module.pvm:
            yield f"may run VMs all the same: {PVM} is loaded on {name}, which needs neither vmx nor svm"
    with suppress(ObservationError):
        for item in machine.kernel_log.faults[:1]:
            yield f"may fail to run VMs: KVM on {name} found a fault: {item.text}"


def _broken(fleet: Fleet, guest: Subject, link: LinkName, finding: Finding, links: tuple[SeenLink, ...]) -> Diagnosis:
    """The diagnosis of a broken chain; it has a remediation only where nesting is required."""
    target, settled = guest.machine.target, guest.settled
    host = fleet.machines.get(target.host or "")
    remedies = remediation(fix_location(settled, host, link), finding) if settled.policy.is_required else []
    return Diagnosis(
        target.name,
        target.host,
        Answer.NO,
        links,
        f"{finding.message} ({finding.cause.code})",
        broken_link=link,
        cause=finding.cause,
        remediation=tuple(remedies),
    )


def fix_location(guest: Subject, host: Machine | None, link: LinkName) -> Subject:
    """Where the commands that fix a link are run: on the host, or in the guest."""
    if host is None or link.value.startswith(("l1-", "l2-")):
        return guest
    domain = (guest.machine.target.domain or guest.name) if link.value.startswith("domain-") else None
    return Subject(host, guest.name, guest.policy, domain)


def _out_of_reach(fleet: Fleet, guest: Subject, pair: Pair) -> Cause | None:
    """The cause where a machine is unreachable, or another one answers, so that the chain is undetermined."""
    host = fleet.machines.get(guest.machine.target.host or "")
    if host is not None and host.bundle.failure is not None:
        return Cause.L0_UNREACHABLE
    if guest.machine.bundle.failure is not None:
        with suppress(ObservationError):
            if pair.domain.is_paused:
                return Cause.DOMAIN_PAUSED
        return Cause.L1_UNREACHABLE
    return Cause.WRONG_GUEST if pair.is_another_machine else None
