"""Records every result of a run as it comes in, with its waiver and its drift."""

from collections.abc import Container, Iterator
from dataclasses import replace
from typing import Final

from nested_kvm.model.verdict import Outcome
from nested_kvm.results.baseline import Baseline
from nested_kvm.results.run import Result, ResultList, Run
from nested_kvm.results.scope import RunScope
from nested_kvm.results.waivers import Waivers

_SITES: Final = "SITE-"
"""How the ids of a site's own checks begin: two of its files may have a test of the same name."""


class Ledger:
    """Results by item: a later one, of the item's teardown, replaces the first."""

    def __init__(self, scope: RunScope, waivers: Waivers, baseline: Baseline | None) -> None:
        self.scope = scope
        self.waivers = waivers
        self._baseline = baseline
        self._results: dict[str, Result] = {}

    def record(self, item: str, judged: Result) -> Result:
        """Record an item's result, and return it with its waiver and its drift."""
        is_sites = judged.control.startswith(_SITES)
        result = self.waivers.answer_for(replace(judged, check=item) if is_sites else judged)
        if self._baseline is not None:
            result = replace(result, drift=self._baseline.drift_of(item, result))
        self._results[item] = result
        return result

    def results_but(self, items: Container[str]) -> Iterator[Result]:
        """Iterate over the results so far, without those of `items`."""
        return (result for item, result in self._results.items() if item not in items)

    @property
    def judged(self) -> int:
        """The number of items that have a result."""
        return len(self._results)

    @property
    def failures(self) -> int:
        """The number of results that pytest counts as failed."""
        return sum(each.is_open_finding or each.outcome is Outcome.ERROR for each in self._results.values())

    def close(self, run: Run) -> None:
        """Write all results into `run`; its targets are known already."""
        results = list(self._results.values())
        run.results = ResultList(results)
        run.left_out = len(self.scope.left_out)
        run.waivers = self.waivers.uses(results, self.scope)
        if self._baseline is not None:
            unseen = {target.name for target in run.targets if not target.observed}
            unsettled = unseen | {each.target for each in run.with_outcome(Outcome.ERROR)}
            run.drift = self._baseline.summary(results, frozenset(unsettled), self.scope)
