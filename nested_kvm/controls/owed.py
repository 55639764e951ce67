"""The results that a run owes: every control, for each of its subjects, whatever pytest collects or runs."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.model.control import Control, Level
from nested_kvm.results.run import Result
from nested_kvm.results.scope import NotAsked

INDISPENSABLE: Final = {
    "L0-CPU-01": Level.L0,
    "L0-KVM-03": Level.L0,
    "L0-KVM-04": Level.L0,
    "L0-PER-01": Level.L0,
    "L0-SEC-03": Level.L0,
    "DOM-CPU-02": Level.DOMAIN,
    "L1-CPU-01": Level.L1,
    "L1-KVM-01": Level.L1,
}
"""Controls without which no subject of their level complies: owed even if their file is missing."""
NOT_COLLECTED: Final = "its check was not collected"

_Key = tuple[str, str, str]


class OwedResults:
    """Which results are owed, and why each that is missing is missing."""

    def __init__(self) -> None:
        self._owed: Counter[_Key] = Counter()
        self._reasons: dict[_Key, str] = {}

    def add(self, controls: Iterable[Control], fleet: Fleet) -> None:
        """Owe each control for each subject of its level."""
        for control in controls:
            self._owed.update(_key(control.id, subject) for subject in fleet.subjects_of(control))

    def add_indispensable(self, known: Iterable[Control], fleet: Fleet) -> None:
        """Owe what decides also where the file of its check is missing."""
        names = {control.id for control in known}
        for name in INDISPENSABLE.keys() - names:
            self._owed.update(_key(name, subject) for subject in fleet.subjects(INDISPENSABLE[name]))

    def add_one(self, control: Control, subject: Subject) -> None:
        """Owe one result of a control that no catalogue lists: a site's."""
        self._owed[_key(control.id, subject)] += 1

    def explain(self, control: Control, subject: Subject, reason: str) -> None:
        """Remember why a result will be missing."""
        self._reasons[_key(control.id, subject)] = reason

    @property
    def count(self) -> int:
        """How many results are owed."""
        return self._owed.total()

    def missing(self, results: Iterable[Result]) -> Iterator[NotAsked]:
        """Every owed result that there is not, with the reason."""
        given = Counter((result.control, result.target, result.subject) for result in results)
        for key in (self._owed - given).elements():
            yield NotAsked(*key, self._reasons.get(key, NOT_COLLECTED))


def _key(control: str, subject: Subject) -> _Key:
    return control, subject.machine.target.name, subject.name
