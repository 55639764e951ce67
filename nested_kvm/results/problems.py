"""Brings the findings of a run together into problems, in time that grows with their number."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from operator import attrgetter
from typing import Final

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Outcome
from nested_kvm.results import problem_rules as rules
from nested_kvm.results.drift import Drift
from nested_kvm.results.problem import FindingRef, Part, Place, Problem, Problems
from nested_kvm.results.problem_causes import Explanations
from nested_kvm.results.run import Result, Run, TargetResult
from nested_kvm.results.target_verdict import must_nest

_FILE: Final = re.compile(r"/(?!proc/[0-9]|sys/|dev/)\S+(?::[0-9]+)?")
_IN_A_FILE: Final = frozenset({*rules.AFTER_BOOT, Cause.NOT_EXPLICIT, Cause.DEAD_LINE, Cause.CONTRADICTED_LINE})
_IN_A_MODULE: Final = frozenset(
    {*rules.WITHOUT_MODULE, *rules.RUNNING_VALUE, Cause.RELOAD_PENDING, Cause.ASSIST_OFF, *_IN_A_FILE}
)
_SHUTDOWN: Final = "virsh shutdown "


def problems_of(run: Run) -> Problems:
    """Return the problems of a finished run, its targets, results, diagnoses and answers known.

    Two runs with the same findings have the same problems, whatever the order of their targets; a merged run has those
    of its shards, as every finding stands beside those of its host.
    """
    findings = run.with_outcome(Outcome.FAIL)
    explained = Explanations(run, findings).heads()
    grouped: dict[int, list[Result]] = {}
    for index, head in enumerate(explained):
        grouped.setdefault(head, []).append(findings[index])
    fleet = _Fleet.of(run)
    found = [_problem(findings[head], group, fleet) for head, group in grouped.items()]
    return Problems.ordered(_with_what_they_free(sorted(found, key=_order)))


def ref_of(result: Result) -> FindingRef:
    """Return what identifies a result."""
    return FindingRef(result.target, result.subject, result.control, result.check)


def _order(problem: Problem) -> tuple[object, ...]:
    place = problem.place
    return problem.waived, -len(problem.held_back), -problem.severity, place.target, place.subject, problem.id


def _with_what_they_free(problems: Sequence[Problem]) -> list[Problem]:
    """Give each problem the guests of which it is the last."""
    last = {guest: index for index, each in enumerate(problems) if not each.waived for guest in each.held_back}
    freed: dict[int, list[str]] = {}
    for guest, index in last.items():
        freed.setdefault(index, []).append(guest)
    return [replace(each, frees=tuple(freed.get(index, ()))) for index, each in enumerate(problems)]


@dataclass(frozen=True, slots=True)
class _Fleet:
    """What is known of the machines, by name."""

    targets: Mapping[str, TargetResult]
    must_nest: frozenset[str]
    guests: Mapping[str, Sequence[str]]
    """The guests that must nest, by host."""
    nests: Mapping[str, Answer]
    """Whether each guest can nest now."""
    running: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The domains that run, by host."""

    def is_guest(self, name: str) -> bool:
        """Whether a target is a guest."""
        target = self.targets.get(name)
        return target is not None and (target.host is not None or target.level is TargetLevel.L1)

    @classmethod
    def of(cls, run: Run) -> "_Fleet":
        unfixed = {host.target for host in run.exposures if host.is_unfixed}
        required = frozenset(each.name for each in run.targets if must_nest(each, unfixed))
        guests: dict[str, list[str]] = {}
        for each in run.targets:
            if each.host is not None and each.name in required:
                guests.setdefault(each.host, []).append(each.name)
        return cls(
            targets={each.name: each for each in run.targets},
            must_nest=required,
            guests={host: sorted(names) for host, names in guests.items()},
            nests={each.target: each.can_nest for each in run.diagnoses},
            running={each.target: each.running for each in run.answers},
        )


def _problem(head: Result, group: list[Result], fleet: _Fleet) -> Problem:
    open_ones = [each for each in group if each.waiver is None]
    others = sorted((each for each in group if each is not head), key=attrgetter("target", "subject", "control"))
    now, later = _held_back(head, group, fleet)
    fixed_by = _fixed_by(head, others)
    drifts = {each.drift for each in open_ones or group}
    return Problem(
        id=_id(head),
        cause=head.cause,
        place=_place(head, fleet),
        severity=max(each.severity for each in open_ones or group),
        message=head.message,
        evidence=tuple(head.evidence),
        finding=ref_of(head),
        consequences=tuple(map(ref_of, others)),
        holds_back_now=now,
        holds_back_after_boot=later,
        commands=tuple(fixed_by),
        shut_down_first=_shut_down_first(head, fixed_by, fleet),
        restart_after=now if head.cause in {*rules.ON_HOST, *rules.NEXT_LOAD} and head.target not in now else (),
        boot_makes_worse=_boot_makes_worse(group),
        waived=not open_ones,
        drift=Drift.NEW if Drift.NEW in drifts else next(iter(drifts - {None}), None),
    )


def _id(head: Result) -> str:
    code = "check-failed" if head.cause is None else head.cause.code
    words = (code, head.target, head.subject, head.control, head.check or "")
    return f"{code}-{sha256(chr(0).join(words).encode(errors='replace')).hexdigest()[:10]}"


def _place(head: Result, fleet: _Fleet) -> Place:
    source = head.evidence[0].source if head.evidence else ""
    target = fleet.targets.get(head.target)
    if head.subject != head.target:
        part = Part.DOMAIN
    elif head.cause in _IN_A_FILE and _FILE.fullmatch(source):
        part = Part.FILE
    elif head.cause in rules.AS_STARTED:
        part = Part.DOMAIN
    elif target is not None and target.level is TargetLevel.L1:
        part = Part.GUEST
    else:
        part = Part.MODULE if head.cause in _IN_A_MODULE else Part.HOST
    return Place(head.target, head.subject, part, source)


def _held_back(head: Result, group: Sequence[Result], fleet: _Fleet) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The guests that must nest and cannot, now and after the next boot."""
    now: dict[str, None] = {}
    later: dict[str, None] = {}
    host_must_nest = head.target in fleet.must_nest or head.target not in fleet.targets
    for each in group:
        if each.subject != each.target or fleet.is_guest(each.target):
            _of_one_guest(each, fleet, now, later)
            continue
        guests = fleet.guests.get(each.target, ())
        if each.cause in rules.HOLDS_BACK:
            now.update(dict.fromkeys(guests))
        if host_must_nest and each.cause in rules.AFTER_BOOT:
            later.update(dict.fromkeys(guests))
    return tuple(sorted(now)), tuple(sorted(later))


def _of_one_guest(finding: Result, fleet: _Fleet, now: dict[str, None], later: dict[str, None]) -> None:
    name = finding.subject
    known = fleet.targets.get(name)
    is_declared = known is not None and finding.target in {known.host, name}
    if (
        (is_declared and name not in fleet.must_nest)
        or finding.cause not in rules.BREAKS_A_GUEST
        or finding.cause is Cause.DOMAIN_GIVES_FLAG
    ):
        return
    if fleet.nests.get(name) is Answer.YES:
        # It runs with what its definition gave when it was started.
        if finding.cause in rules.DEFINITION:
            later[name] = None
        return
    now[name] = None


def _fixed_by(head: Result, others: Sequence[Result]) -> list[str]:
    """The commands of the cause; where a consequence on the same machine needs more than those, all of them."""
    here = [each for each in others if (each.target, each.subject) == (head.target, head.subject)]
    if head.cause in rules.NEXT_LOAD:
        running = next((each for each in here if each.cause in rules.RUNNING_VALUE), None)
        if running is not None and running.remediation:
            return list(running.remediation)
    lines = list(head.remediation)
    if head.cause in rules.KEEPS_FROM_LOADING:
        absent = (each for each in here if each.cause in rules.WITHOUT_MODULE)
        loads = (line for each in absent for line in each.remediation if re.match(r"modprobe \w+(?: |$)", line))
        lines += [line for line in dict.fromkeys(loads) if line not in lines][:1]
    return lines


def _shut_down_first(head: Result, commands: Iterable[str], fleet: _Fleet) -> tuple[str, ...]:
    named = list(dict.fromkeys(_shut_down(commands)))
    if head.cause in rules.WITH_GUESTS_OFF:
        named += [name for name in fleet.running.get(head.target, ()) if name not in named]
    return tuple(named)


def _shut_down(commands: Iterable[str]) -> Iterator[str]:
    """The domains that commands shut down; of another run's file, a line may be none that a shell takes."""
    for line in commands:
        if line.startswith(_SHUTDOWN):
            with suppress(ValueError):
                yield from shlex.split(line, comments=True)[2:3]


def _boot_makes_worse(group: Sequence[Result]) -> bool:
    causes = {each.cause for each in group}
    if not causes & rules.TAKES_EFFECT_AT_BOOT:
        return False
    if causes & rules.KEEPS_FROM_LOADING:
        return not causes & {*rules.WITHOUT_MODULE}
    return not causes & {*rules.RUNNING_VALUE, Cause.ESCAPE_OPEN}
