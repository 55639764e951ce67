"""Why a guest cannot nest: the first broken link of its chain, its cause, and the commands that mend it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from nested_kvm.controls.chain import Pair, first_break, walk
from nested_kvm.errors import ObservationError
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Level
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import remediation
from nested_kvm.results.diagnosis import Diagnosis, LinkName, LinkState, SeenLink


def diagnose(fleet: Fleet) -> Iterator[Diagnosis]:
    """One diagnosis for each L1."""
    for guest in fleet.subjects(Level.L1):
        yield _diagnose(fleet, guest)


def _diagnose(fleet: Fleet, guest: Subject) -> Diagnosis:
    pair = Pair(fleet.machines.get(guest.machine.target.host or ""), guest.machine)
    return replace(_walked(fleet, guest, pair), warnings=tuple(_warnings(pair)))


def _walked(fleet: Fleet, guest: Subject, pair: Pair) -> Diagnosis:
    target = guest.machine.target
    links = tuple(walk(pair))
    broken = first_break(pair)
    if broken is not None and broken.finding is not None:
        return _broken(fleet, guest, broken.name, broken.finding, links)
    unseen = [link for link in links if link.state is LinkState.UNSEEN]
    if unseen:
        cause = _out_of_reach(fleet, guest, pair)
        reason = f"{unseen[0].name} was not seen to hold: {unseen[0].text}"
        return Diagnosis(target.name, target.host, Answer.UNKNOWN, links, reason, cause=cause)
    return Diagnosis(target.name, target.host, Answer.YES, links, "Every link was seen to hold.")


def _warnings(pair: Pair) -> Iterator[str]:
    """What breaks later. What could not be looked at warns of nothing: its control is an error already."""
    with suppress(ObservationError):
        next_load = pair.host.next_load
        if next_load.fails or next_load.nested is False:
            how = next_load.reason or f"turns nested off, by {next_load.said_by}"
            yield f"not after the next boot of {pair.host.target.name}: the next load of {next_load.module}: {how}"
    with suppress(ObservationError):
        promise = pair.domain.promise(pair.host.cpu.require_vendor())
        if pair.shows_flag and promise.gives_flag is Answer.NO:
            yield f"not after the next start of {pair.domain.name}: {promise.reason}"


def _broken(fleet: Fleet, guest: Subject, link: LinkName, finding: Finding, links: tuple[SeenLink, ...]) -> Diagnosis:
    """Where nesting is forbidden nothing is to be mended."""
    target = guest.machine.target
    host = fleet.machines.get(target.host or "")
    remedies = remediation(mended_at(guest, host, link), finding) if guest.policy.is_required else []
    return Diagnosis(
        target.name,
        target.host,
        Answer.NO,
        links,
        f"{finding.cause.explanation} ({finding.message})",
        broken_link=link,
        cause=finding.cause,
        remediation=tuple(remedies),
    )


def mended_at(guest: Subject, host: Machine | None, link: LinkName) -> Subject:
    """Where the commands that mend a link are run: on the host, or in the guest."""
    if host is None or link.value.startswith(("l1-", "l2-")):
        return guest
    domain = (guest.machine.target.domain or guest.name) if link.value.startswith("domain-") else None
    return Subject(host, guest.name, guest.policy, domain)


def _out_of_reach(fleet: Fleet, guest: Subject, pair: Pair) -> Cause | None:
    """Whether it is a machine that could not be reached, or the wrong one, which keeps the chain from being seen."""
    host = fleet.machines.get(guest.machine.target.host or "")
    if host is not None and host.bundle.failure is not None:
        return Cause.L0_UNREACHABLE
    if guest.machine.bundle.failure is not None:
        return Cause.L1_UNREACHABLE
    return Cause.WRONG_GUEST if pair.is_another_machine else None
