"""Waivers applied to results: which findings are accepted, and which waivers are stale."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.run import Result
from nested_kvm.results.scope import RunScope
from nested_kvm.results.waiver import Waiver, WaiverState, WaiverUse


class Waivers:
    """The waivers of one file, on one day, UTC."""

    def __init__(self, waivers: Sequence[Waiver], today: date) -> None:
        self._waivers = waivers
        self._today = today

    def answer_for(self, result: Result) -> Result:
        """Attach the waiver to a finding that one covers; only a finding can be waived.

        Where every waiver that covers it has expired, the finding counts, and its message says so.
        """
        if result.outcome is not Outcome.FAIL:
            return result
        covering = [each for each in self._waivers if each.covers(result.control, result.target, result.subject)]
        holding = next((each for each in covering if each.holds_on(self._today)), None)
        if holding is not None or not covering:
            return replace(result, waiver=holding)
        over = max(covering, key=lambda each: each.expires or date.max)
        ended = f"its waiver expired on {over.expires} ({over.source}, approved by {over.approver})"
        return replace(result, message=f"{result.message}; {ended}")

    def uses(self, results: Sequence[Result], scope: RunScope) -> list[WaiverUse]:
        """Return the status of each waiver."""
        by_control: dict[str, list[Result]] = {}
        for result in results:
            by_control.setdefault(result.control, []).append(result)
        return [self._use(waiver, list(_covered(waiver, by_control)), scope) for waiver in self._waivers]

    def _use(self, waiver: Waiver, covered: Sequence[Result], scope: RunScope) -> WaiverUse:
        findings = sum(each.outcome is Outcome.FAIL for each in covered)
        return WaiverUse(waiver, self._state(waiver, covered, findings, scope), findings)

    def _state(self, waiver: Waiver, covered: Sequence[Result], findings: int, scope: RunScope) -> WaiverState:
        if findings:
            return WaiverState.USED if waiver.holds_on(self._today) else WaiverState.EXPIRED
        if not all(each.outcome.is_evaluated for each in covered) or scope.may_leave_out(waiver.control, waiver.target):
            return WaiverState.UNJUDGED
        return WaiverState.CONTROL_PASSES if covered else WaiverState.MATCHES_NOTHING


def _covered(waiver: Waiver, by_control: Mapping[str, Sequence[Result]]) -> Iterator[Result]:
    for control, results in by_control.items():
        if fnmatchcase(control, waiver.control):
            yield from (each for each in results if waiver.covers(control, each.target, each.subject))
