"""Finds for each finding of a run the one that explains it, by the rules of `problem_rules.py`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from nested_kvm.model.cause import Cause
from nested_kvm.results import problem_rules as rules
from nested_kvm.results.run import Result, Run

_OF_A_PAIR: Final = "PAIR-01"


class Explanations:
    """For each finding, the one that explains it, and the first of that chain."""

    def __init__(self, run: Run, findings: Sequence[Result]) -> None:
        self._findings = findings
        self._hosts = {each.name: each.host for each in run.targets}
        self._guarded = {each.name for each in run.targets if each.policy is not None and each.policy.is_guarded}
        self._by_place: dict[tuple[str, str], dict[Cause, int]] = {}
        self._pairs: dict[str, int] = {}
        """By guest, the finding that it does not see what its host promises: the cause that it names may be there."""
        for index, each in enumerate(findings):
            if _is_of_a_pair(each):
                self._pairs[each.target] = index
            elif each.cause is not None:
                self._by_place.setdefault((each.target, each.subject), {}).setdefault(each.cause, index)

    def heads(self) -> list[int]:
        """Return for each finding the index of the cause of its problem."""
        explained_by = [self._explained_by(index) for index in range(len(self._findings))]
        heads: list[int] = []
        for index in range(len(explained_by)):
            head, seen = index, {index}
            while (above := explained_by[head]) is not None and above not in seen:
                seen.add(above)
                head = above
            heads.append(head)
        return heads

    def _explained_by(self, index: int) -> int | None:
        finding = self._findings[index]
        if finding.cause is None:
            return None
        if _is_of_a_pair(finding):
            return self._from_below(finding)
        for found in (self._twin(index), self._on_its_machine(index), self._from_below(finding)):
            if found is not None and found != index:
                return found
        return None

    def _twin(self, index: int) -> int | None:
        """The first finding of the same cause there; the command line's, only where it is about the same word."""
        finding = self._findings[index]
        cause = finding.cause
        twin = None if cause is None else self._there(finding.target, finding.subject).get(cause)
        if twin is None or twin == index or cause is not Cause.CMDLINE_OVERRIDES:
            return twin
        words = {item.text for item in self._findings[twin].evidence}
        return twin if words & {item.text for item in finding.evidence} else None

    def _on_its_machine(self, index: int) -> int | None:
        finding = self._findings[index]
        there = self._there(finding.target, finding.subject)
        for cause in rules.ON_ONE_MACHINE.get(finding.cause, ()) if finding.cause else ():
            found = there.get(cause)
            if found is not None and self._does_explain(self._findings[found], finding):
                return found
        return None

    def _does_explain(self, cause: Result, finding: Result) -> bool:
        if cause.cause in rules.WHERE_GUARDED:
            return finding.target in self._guarded
        if finding.cause in rules.WHERE_SHARED:
            return bool({each.source for each in cause.evidence} & {each.source for each in finding.evidence})
        if finding.cause is Cause.MODULE_LOAD_FAILED and cause.cause is not None:
            return rules.fits_the_refusal(cause.cause, "\n".join(item.text for item in finding.evidence))
        return True

    def _from_below(self, finding: Result) -> int | None:
        """What explains a finding of a guest: its host, then its domain there, then the pair of both."""
        host = self._hosts.get(finding.target)
        if host is None or finding.subject != finding.target:
            return None
        on_host, of_domain = self._there(host, host), self._there(host, finding.target)
        if finding.cause is Cause.FLAG_PRESENT:
            found = _first(of_domain, rules.DOMAIN)
            return _first(on_host, (Cause.NESTED_ON,)) if found is None else found
        if finding.cause is Cause.MEMORY_ENCRYPTION:
            return of_domain.get(Cause.MEMORY_ENCRYPTION)
        if _is_of_a_pair(finding):
            return self._same_cause(finding, (on_host, of_domain), _below(on_host, of_domain))
        if finding.cause is Cause.FLAG_MISSING:
            below = _below(on_host, of_domain)
            return self._pairs.get(finding.target) if below is None else below
        return None

    def _same_cause(self, finding: Result, places: Iterable[Mapping[Cause, int]], otherwise: int | None) -> int | None:
        cause = finding.cause
        return next((place[cause] for place in places if cause in place), otherwise) if cause else otherwise

    def _there(self, target: str, subject: str) -> Mapping[Cause, int]:
        return self._by_place.get((target, subject), {})


def _is_of_a_pair(finding: Result) -> bool:
    return finding.control == _OF_A_PAIR


def _below(on_host: Mapping[Cause, int], of_domain: Mapping[Cause, int]) -> int | None:
    found = _first(on_host, rules.ON_HOST)
    return _first(of_domain, rules.DOMAIN) if found is None else found


def _first(there: Mapping[Cause, int], causes: Iterable[Cause]) -> int | None:
    return next((there[cause] for cause in causes if cause in there), None)
