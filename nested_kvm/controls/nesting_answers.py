"""The answers of a fleet, one of each target: whether it nests now, and after the next boot of its host.

Now is the chain; `after_boot.py` has what the boot changes.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from nested_kvm.controls.after_boot import YES, State, certainly_off, first_source, guest_after_boot, host_after_boot
from nested_kvm.controls.chain import Pair, walk
from nested_kvm.controls.diagnose import Limit, unlimited
from nested_kvm.errors import LimitExceeded, ObservationError
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Level
from nested_kvm.model.link import LinkName
from nested_kvm.model.policy import Nested
from nested_kvm.model.verdict import Undecided
from nested_kvm.results.diagnosis import Diagnosis, LinkState, SeenLink
from nested_kvm.results.nesting_answer import NestingAnswer

_ON_HOST: Final = frozenset({LinkName.L0_CPU, LinkName.L0_FIRMWARE, LinkName.L0_MODULE, LinkName.L0_NESTED})


def nesting_answers(fleet: Fleet, diagnoses: Iterable[Diagnosis], limit: Limit = unlimited) -> Iterator[NestingAnswer]:
    """Yield the answer of every machine, all hosts first; `limit` bounds what is computed from the evidence of one.

    A guest that no policy is about is not asked.
    """
    guests = {each.target: each for each in diagnoses}
    after: dict[str, State] = {}
    for subject in fleet.subjects(Level.L0):
        name = subject.name
        try:
            with limit(name):
                after[name], answer = _of_host(subject)
        except LimitExceeded as error:
            after[name] = State(Answer.UNKNOWN, str(error))
            answer = _answer(subject, after[name], after[name])
        yield answer
    for subject in fleet.subjects(Level.L1):
        diagnosis = guests.get(subject.name)
        if diagnosis is not None and subject.policy.binding:
            yield _of_guest(fleet, subject, diagnosis, after, limit)


def _of_host(host: Subject) -> tuple[State, NestingAnswer]:
    machine = host.machine
    if not machine.is_observed:
        failure = machine.bundle.failure
        unseen = State(Answer.UNKNOWN, "not inspected" if failure is None else failure.message)
        return unseen, _answer(host, unseen, unseen)
    links = list(walk(Pair(machine, machine), _ON_HOST))
    now, later = _by_links(links), host_after_boot(machine, links)
    if _asked(host)[0] is Nested.FORBIDDEN:
        now, later = _certainly_off_now(machine, now), certainly_off(machine, later)
    if now.answer is Answer.YES:
        now = replace(now, cause=Cause.NESTED_ON, source=first_source(machine.nesting.evidence))
    running: tuple[str, ...] = ()
    with suppress(ObservationError):
        running = machine.libvirt.running
    return later, replace(_answer(host, now, later), running=running)


def _certainly_off_now(machine: Machine, now: State) -> State:
    """Where nesting must be off: PVM runs VMs, whatever breaks the chain."""
    with suppress(ObservationError):
        if now.answer is Answer.NO and machine.kvm_module.pvm:
            return State(Answer.UNKNOWN, "PVM is loaded", source=first_source(machine.kvm_module.pvm))
    return now


def _by_links(links: Iterable[SeenLink]) -> State:
    """No by the first broken link; yes only where each holds."""
    unseen = None
    for link in links:
        if link.finding is not None:
            return State(Answer.NO, link.text, link.finding.cause, first_source(link.finding.evidence))
        if link.state is LinkState.UNSEEN and unseen is None:
            unseen = State(Answer.UNKNOWN, f"{link.name} is undetermined: {link.text}")
    return unseen or YES


def _of_guest(
    fleet: Fleet, guest: Subject, diagnosis: Diagnosis, after: Mapping[str, State], limit: Limit
) -> NestingAnswer:
    broken = next((each for each in diagnosis.links if each.name is diagnosis.broken_link), None)
    evidence = broken.finding.evidence if broken is not None and broken.finding is not None else ()
    now = State(diagnosis.can_nest, diagnosis.explanation, diagnosis.cause, first_source(evidence))
    host_name = guest.machine.target.host or ""
    pair = Pair(fleet.machines.get(host_name), guest.machine)
    try:
        with limit(guest.name):
            later = guest_after_boot(pair, now, after.get(host_name))
    except LimitExceeded as error:
        later = State(Answer.UNKNOWN, str(error))
    if _asked(guest)[0] is Nested.FORBIDDEN:
        now, later = (_unless_without_flag(guest.machine, state) for state in (now, later))
    return _answer(guest, now, later)


def _unless_without_flag(guest: Machine, state: State) -> State:
    """Where a guest must not nest: no is only what nothing that was seen inside it contradicts."""
    if state.answer is not Answer.NO or not guest.is_observed:
        return state
    try:
        signs = guest.without_flag.signs
    except ObservationError as error:
        return State(Answer.UNKNOWN, str(error))
    if not signs:
        return state
    reason = f"it may run VMs without showing the flag: {guest.without_flag.text}"
    return State(Answer.UNKNOWN, reason, source=first_source(signs))


def _answer(subject: Subject, now: State, later: State) -> NestingAnswer:
    """The answer for a subject, with what shows the part that is not what its policy asks for."""
    target = subject.machine.target
    nested, undecided = _asked(subject)
    wanted = {Nested.REQUIRED: Answer.YES, Nested.FORBIDDEN: Answer.NO}.get(nested or Nested.GUARDED, Answer.YES)
    wrong = [each for each in (now, later) if each.answer not in {wanted, Answer.UNKNOWN}]
    # What is on or off now is so by the file that a later load reads again, where that is wrong as well.
    worst = wrong[-1] if wrong and now.cause in {Cause.NESTED_OFF, Cause.NESTED_ON} else next(iter(wrong), None)
    shown = worst or next((each for each in (now, later) if each.answer is Answer.UNKNOWN), YES)
    return NestingAnswer(
        target=target.name,
        level=target.level,
        host=target.host,
        nested=nested,
        now=now.answer,
        after_boot=later.answer,
        cause=shown.cause,
        source=shown.source,
        reason=shown.reason or undecided,
    )


def _asked(subject: Subject) -> tuple[Nested | None, str]:
    """What the policy asks for; None with the reason, where the kernel does not decide it."""
    try:
        return subject.effective_policy.polarity, ""
    except (ObservationError, Undecided) as error:
        return None, str(error)
