"""The pages of a large fleet: a hundred targets each, beside the report, which lists them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.reporting.html.links import Links
from nested_kvm.reporting.html.target_sections import TargetSections
from nested_kvm.results.run import Run, TargetResult, hosts_and_their_guests

EACH: Final = 100
RESULTS: Final = 6000
"""Results from which a page is full before it has so many targets: a host may have hundreds of domains."""
FOLDER: Final = "targets"


@dataclass(frozen=True, slots=True)
class TargetPage:
    """One page, and its targets."""

    number: int
    targets: Sequence[TargetResult]

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.number:04}.html"

    @property
    def first(self) -> str:
        """The name of its first target."""
        return self.targets[0].name

    @property
    def last(self) -> str:
        """The name of its last target."""
        return self.targets[-1].name

    @property
    def href(self) -> str:
        """The link to it from the report."""
        return f"{FOLDER}/{self.name}"


class TargetPages:
    """The pages of a run, in the order of the targets; none where the report itself has all sections."""

    each = EACH

    def __init__(self, run: Run) -> None:
        self.sections = TargetSections(run)
        self._pages = list(_pages(run)) if self.sections.are_too_many else []
        self.of_target = {target.name: page.name for page in self._pages for target in page.targets}

    def __iter__(self) -> Iterator[TargetPage]:
        return iter(self._pages)

    def __len__(self) -> int:
        return len(self._pages)

    def links(self, here: TargetPage | None = None) -> Links:
        """The links from the report; or from one of its pages."""
        return Links(self.of_target, folder=f"{FOLDER}/") if here is None else Links(self.of_target, here=here.name)


def _pages(run: Run) -> Iterator[TargetPage]:
    results = Counter(result.target for result in run.results.sorted_by_target())
    number, targets, size = 1, list[TargetResult](), 0
    for target in sorted(_with_results(run, results), key=hosts_and_their_guests):
        size += results[target.name]
        if targets and (len(targets) >= EACH or size > RESULTS):
            yield TargetPage(number, targets)
            number, targets, size = number + 1, [], results[target.name]
        targets.append(target)
    if targets:
        yield TargetPage(number, targets)


def _with_results(run: Run, results: Iterable[str]) -> list[TargetResult]:
    """Every target, and what has a result without being one: nothing that was found may be without a page."""
    known = {target.name for target in run.targets}
    others = (
        TargetResult(name=name, level=TargetLevel.AUTO, host=None, address=None, observed=False, error=None)
        for name in results
        if name not in known
    )
    return [*run.targets, *others]
