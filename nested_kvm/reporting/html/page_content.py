"""What the pages of a large fleet have of each target beside its results: problems, findings, chains, exposure."""

from collections.abc import Container, Iterator, Mapping, Sequence

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.exposure_text import exposed_line, has_guarded, proof_lines
from nested_kvm.reporting.html.chains import in_order, rightly_unable
from nested_kvm.reporting.html.fleet_map import FleetMap, maps_of
from nested_kvm.reporting.html.problem_list import ProblemEntry, entries_by_target
from nested_kvm.reporting.html.target_pages import TargetPage
from nested_kvm.reporting.html.target_sections import TargetSection
from nested_kvm.results.diagnosis import Diagnosis
from nested_kvm.results.problem import Problem
from nested_kvm.results.run import Result, Run


class PageContent:
    """Finds by target what the report of a small fleet lists as a whole."""

    def __init__(self, run: Run, names: Container[str]) -> None:
        """Take a run, and the names of the targets that have a section."""
        self._run = run
        self.rightly = rightly_unable(run)
        self._entries = entries_by_target(run)
        self._chains = _chains_by_target(run, self.rightly, names)
        self._exposures = {each.target: each for each in run.exposures}
        self._titles: Mapping[str, str] = run.results.titles()
        self._has_proofs = has_guarded(run)

    def maps(self, page: TargetPage) -> list[FleetMap]:
        """The maps of a page's targets."""
        results = (each for target in page.targets for each in self._run.results.of_target(target.name))
        return maps_of(results, page.targets, self._titles)

    def problems(self, section: TargetSection) -> Sequence[ProblemEntry]:
        """The open problems that are fixed at a target."""
        return self._entries.get(section.target.name, ())

    def other_problems(self, section: TargetSection) -> list[Problem]:
        """The open problems elsewhere that hold it back."""
        return [each for each in section.problems if not each.waived and each.place.target != section.target.name]

    def findings(self, section: TargetSection) -> Iterator[Result]:
        """Every finding, waived or not, and every unknown that is accepted."""
        for line in section.lines:
            if line.result.outcome is Outcome.FAIL or line.result.waiver is not None:
                yield line.result

    def chains(self, section: TargetSection) -> Sequence[Diagnosis]:
        """The chain of a guest; at a host, of those that are not targets themselves."""
        return self._chains.get(section.target.name, ())

    def exposure(self, section: TargetSection) -> str:
        """How a host is exposed; empty: it is not known to be."""
        found = self._exposures.get(section.target.name)
        return exposed_line(found) if found is not None and found.open else ""

    def proofs(self, section: TargetSection) -> list[str]:
        """What proves the state of each advisory on a host, where the policy asks for it."""
        found = self._exposures.get(section.target.name)
        return list(proof_lines(found)) if found is not None and self._has_proofs else []


def _chains_by_target(run: Run, rightly: frozenset[str], names: Container[str]) -> dict[str, list[Diagnosis]]:
    found: dict[str, list[Diagnosis]] = {}
    for each in in_order(run.diagnoses, rightly):
        place = each.target if each.target in names or each.host is None else each.host
        found.setdefault(place, []).append(each)
    return found
