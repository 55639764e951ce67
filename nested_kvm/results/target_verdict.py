"""The verdict on each target: a target passes only where something that decides was evaluated and passed."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.run import ExitStatus, Result, Run, TargetResult, Threshold

_WITH_VERDICT: Final = frozenset({None, ExitStatus.COMPLIANT, ExitStatus.FINDING, ExitStatus.NOT_OBSERVED})
"""Exit statuses of runs that have a verdict; None: it is not known yet."""


class TargetVerdict(StrEnum):
    """The verdict on one target, in a word."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a secret
    BLOCK = "BLOCK"
    INCOMPLETE = "INCOMPLETE"
    """The run ended early."""
    PARTIAL = "PARTIAL"
    """The run was narrowed: something that the fleet asks for was not asked."""
    UNKNOWN = "UNKNOWN"
    """Whether this guest can nest is not known, and it has to."""
    NOT_CHECKED = "NOT CHECKED"
    """No control that decides was evaluated."""


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """A target, the verdict on it, and why: the results that block it, or a sentence."""

    target: TargetResult
    verdict: TargetVerdict
    blocks: tuple[Result, ...] = ()
    reason: str = ""

    @property
    def passes(self) -> bool:
        """Whether nothing stands against the target."""
        return self.verdict is TargetVerdict.PASS


def target_statuses(run: Run, threshold: Threshold) -> list[TargetStatus]:
    """Return the status of each target. Results of its domain on the host count for a guest as well."""
    hosts = {target.name: target.host for target in run.targets}
    blocks = _by_target(run.blocking(threshold), hosts)
    decided = _decided(run, hosts)
    return [_status(run, target, tuple(blocks.get(target.name, ())), decided) for target in run.targets]


@dataclass(frozen=True, slots=True)
class _Decided:
    """What the results of a run decide."""

    answered: frozenset[str]
    """Targets of which a control that decides was answered."""
    skipped: Mapping[str, list[Result]]
    """A site's own checks that were skipped, by target."""
    unknown_guests: Mapping[str, str]
    """Guests that have to nest, and why it is not known whether they can."""


def _decided(run: Run, hosts: Mapping[str, str | None]) -> _Decided:
    # Targets with an answer, by whether its control decides.
    answered: dict[bool, set[str]] = {True: set(), False: set()}
    asks_what_decides = False
    skipped: list[Result] = []
    results = list(run.results.sorted_by_target())
    asked_of_itself = {each.target for each in results if each.decides and each.subject == each.target}
    for each in results:
        asks_what_decides = asks_what_decides or each.decides
        if each.outcome in {Outcome.PASS, Outcome.FAIL}:
            # A candidate that must not nest asks nothing of its host: then its own answer is the host's.
            is_question = each.subject in run.candidates and each.target not in asked_of_itself
            is_own = each.subject == each.target or not each.decides or is_question
            answered[each.decides].update(_targets_of(each, hosts) if is_own else _guest_of(each, hosts))
        elif each.outcome is Outcome.NOTCHECKED and each.check is not None:
            skipped.append(each)
    unfixed = {host.target for host in run.exposures if host.is_unfixed}
    required = {each.name for each in run.targets if must_nest(each, unfixed)}
    return _Decided(
        # Where nothing that decides is asked at all (-m maintenance), what was asked is the question.
        answered=frozenset(answered[asks_what_decides]),
        skipped=_by_target(skipped, hosts),
        unknown_guests={
            each.target: each.explanation
            for each in run.diagnoses
            if asks_what_decides and each.can_nest is Answer.UNKNOWN and each.target in required
        },
    )


def must_nest(target: TargetResult, unfixed: Container[str]) -> bool:
    """Whether nesting has to work on a target; where its policy is guarded, unless its host is among the `unfixed`."""
    if target.policy is None:
        return True
    return target.policy.may_be_required and not (target.policy.is_guarded and (target.host or target.name) in unfixed)


def _status(run: Run, target: TargetResult, blocks: tuple[Result, ...], decided: _Decided) -> TargetStatus:
    if blocks or target.error is not None:
        return TargetStatus(target, TargetVerdict.BLOCK, blocks, target.error or "")
    if not run.is_whole:
        return TargetStatus(target, TargetVerdict.PARTIAL if run.complete else TargetVerdict.INCOMPLETE)
    unknown = decided.unknown_guests.get(target.name)
    if unknown is not None:
        return TargetStatus(target, TargetVerdict.UNKNOWN, reason=f"whether it can nest is not known: {unknown}")
    unchecked = _why_unchecked(run, target, decided)
    return TargetStatus(target, TargetVerdict.NOT_CHECKED if unchecked else TargetVerdict.PASS, reason=unchecked)


def _why_unchecked(run: Run, target: TargetResult, decided: _Decided) -> str:
    """Return why nothing says that the target complies; empty: something does."""
    if run.exit_status not in _WITH_VERDICT:
        return "the run has no verdict"
    skipped = decided.skipped.get(target.name, [])
    if skipped and target.address is not None:
        return f"{skipped[0].control} was skipped: {skipped[0].message}"
    return "" if target.name in decided.answered else "no control that decides was evaluated"


def _by_target(results: Iterable[Result], hosts: Mapping[str, str | None]) -> dict[str, list[Result]]:
    """Group results by their target; those of a guest's domain are the guest's as well."""
    found: dict[str, list[Result]] = {}
    for result in results:
        for name in _targets_of(result, hosts):
            found.setdefault(name, []).append(result)
    return found


def _targets_of(result: Result, hosts: Mapping[str, str | None]) -> Iterator[str]:
    yield result.target
    yield from _guest_of(result, hosts)


def _guest_of(result: Result, hosts: Mapping[str, str | None]) -> Iterator[str]:
    """The guest of which this result of its host is about the domain."""
    if result.subject != result.target and hosts.get(result.subject) == result.target:
        yield result.subject
