"""The pages of a large fleet: a hundred targets each, beside the report, which lists them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from nested_kvm.reporting.html.target_sections import TargetSection, TargetSections
from nested_kvm.results.run import Run, hosts_and_their_guests

EACH: Final = 100
FOLDER: Final = "targets"


@dataclass(frozen=True, slots=True)
class TargetPage:
    """One page, and the names of its first and its last target."""

    name: str
    first: str
    last: str

    @property
    def href(self) -> str:
        """The link to it from the report."""
        return f"{FOLDER}/{self.name}"


class TargetPages:
    """The pages of a run; none where the report itself has all sections."""

    each = EACH

    def __init__(self, run: Run) -> None:
        self.sections = TargetSections(run)
        self._names = [target.name for target in sorted(run.targets, key=hosts_and_their_guests)]

    def __iter__(self) -> Iterator[TargetPage]:
        """Iterate over the pages, in the order of the targets."""
        if not self.sections.are_too_many:
            return
        for number, start in enumerate(range(0, len(self._names), EACH), 1):
            names = self._names[start : start + EACH]
            yield TargetPage(f"{number:04}.html", names[0], names[-1])

    def with_sections(self) -> Iterator[tuple[TargetPage, list[TargetSection]]]:
        """Iterate over the pages, each with its sections, which have to be taken before the next page."""
        sections = self.sections.all()
        for page in self:
            yield page, list(islice(sections, EACH))
