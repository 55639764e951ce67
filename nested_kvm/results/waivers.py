"""Waivers applied to results: which findings are accepted, and which waivers are stale."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.baseline import Baseline
from nested_kvm.results.exposure import lacking_fixes
from nested_kvm.results.run import Result
from nested_kvm.results.scope import RunScope
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse


class Waivers:
    """The waivers of one file, on one day, UTC."""

    def __init__(self, waivers: Sequence[Waiver], today: date, baseline: Baseline | None = None) -> None:
        self._waivers = waivers
        self._today = today
        self._baseline = baseline

    def answer_for(self, result: Result) -> Result:
        """Attach the waiver to a finding, or an unknown, that one accepts; nothing else can be waived.

        Where every waiver that accepts it has expired, or those that cover it name another cause, the finding counts,
        and its message says so.
        """
        if result.outcome not in {Outcome.FAIL, Outcome.UNKNOWN}:
            return result
        covering = [each for each in self._waivers if each.covers(result.control, result.target, result.subject)]
        accepting = [each for each in covering if _accepts(each, result)]
        holding = next((each for each in accepting if self._holds(each, result)), None)
        if holding is not None:
            return replace(result, waiver=holding)
        note = _why_not(result, covering, accepting)
        return replace(result, message=f"{result.message}; {note}") if note else result

    def _holds(self, waiver: Waiver, result: Result) -> bool:
        """Whether a waiver is in force: not where an earlier run, which knew it, saw it end."""
        has_ended = waiver.until_fixed and self._baseline is not None and self._baseline.has_ended(waiver, result)
        return waiver.holds_on(self._today) and not has_ended

    def uses(self, results: Sequence[Result], scope: RunScope) -> list[WaiverUse]:
        """Return the status of each waiver."""
        by_control: dict[str, list[Result]] = {}
        for result in results:
            by_control.setdefault(result.control, []).append(result)
        return [self._use(waiver, list(_covered(waiver, by_control)), scope) for waiver in self._waivers]

    def _use(self, waiver: Waiver, covered: Sequence[Result], scope: RunScope) -> WaiverUse:
        accepted = sum(_accepts(waiver, each) for each in covered)
        return WaiverUse(waiver, self._state(waiver, covered, accepted, scope), accepted)

    def _state(self, waiver: Waiver, covered: Sequence[Result], accepted: int, scope: RunScope) -> WaiverState:
        if accepted:
            holds = any(self._holds(waiver, each) for each in covered if _accepts(waiver, each))
            return WaiverState.USED if holds else WaiverState.EXPIRED
        if _is_narrow(waiver) and any(each.outcome is Outcome.FAIL for each in covered):
            return WaiverState.OTHER_CAUSE
        is_open = not all(each.outcome.is_evaluated for each in covered)
        if is_open or scope.may_leave_out(waiver.control, waiver.target):
            return WaiverState.UNJUDGED
        return WaiverState.CONTROL_PASSES if covered else WaiverState.MATCHES_NOTHING


def _why_not(result: Result, covering: Sequence[Waiver], accepting: Sequence[Waiver]) -> str:
    """Return why the waivers that are about this result do not accept it; empty: there are none."""
    if accepting and all(each.until_fixed and each.expires is None for each in accepting):
        ended = accepting[0]
        return f"its waiver ended when this was fixed ({ended.source}, approved by {ended.approver})"
    if accepting:
        expired = max(accepting, key=lambda each: each.expires or date.max)
        return f"its waiver expired on {expired.expires} ({expired.source}, approved by {expired.approver})"
    narrow = [each for each in covering if _is_narrow(each)]
    return _what_it_accepts(narrow[0], result) if narrow and result.outcome is Outcome.FAIL else ""


def _what_it_accepts(waiver: Waiver, result: Result) -> str:
    others = lacking_fixes(result.evidence) - set(waiver.advisories or ())
    if waiver.advisories is None or not others:
        return f"its waiver accepts another cause, {waiver.cause} ({waiver.source})"
    return f"its waiver does not accept {', '.join(sorted(others))} ({waiver.source})"


def _is_narrow(waiver: Waiver) -> bool:
    """Whether a waiver accepts only some of the findings that it covers."""
    return waiver.cause is not None or waiver.advisories is not None


def _accepts(waiver: Waiver, result: Result) -> bool:
    lacking = frozenset[str]() if waiver.advisories is None else lacking_fixes(result.evidence)
    return waiver.accepts(result.outcome, result.cause, lacking)


def _covered(waiver: Waiver, by_control: Mapping[str, Sequence[Result]]) -> Iterator[Result]:
    for control, results in by_control.items():
        if fnmatchcase(control, waiver.control):
            yield from (each for each in results if waiver.covers(control, each.target, each.subject))
