"""The results that a run owes: every control, for each of its subjects, whatever pytest collects or runs."""

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
_Owed = tuple[int, str]
"""How many results, and why each will be missing that is."""
_NOTHING: Final = (0, NOT_COLLECTED)


class OwedResults:
    """Which results are owed, and why each that is missing is missing."""

    def __init__(self) -> None:
        self._owed: dict[_Key, _Owed] = {}
        self._same: dict[_Owed, _Owed] = {}
        """Each pair once: of a large fleet nearly all are equal."""

    def add(self, controls: Iterable[Control], fleet: Fleet) -> None:
        """Owe each control for each subject of its level."""
        for control in controls:
            for subject in fleet.subjects_of(control):
                self._owe(control.id, subject)

    def add_indispensable(self, known: Iterable[Control], fleet: Fleet) -> None:
        """Owe what decides also where the file of its check is missing."""
        names = {control.id for control in known}
        for name in INDISPENSABLE.keys() - names:
            for subject in fleet.subjects(INDISPENSABLE[name]):
                self._owe(name, subject)

    def add_one(self, control: Control, subject: Subject) -> None:
        """Owe one result of a control that no catalogue lists: a site's."""
        self._owe(control.id, subject)

    def explain(self, control: Control, subject: Subject, reason: str) -> None:
        """Remember why a result will be missing."""
        key = _key(control.id, subject)
        self._note(key, self._owed.get(key, _NOTHING)[0], reason)

    @property
    def count(self) -> int:
        """How many results are owed."""
        return sum(count for count, _ in self._owed.values())

    def missing(self, results: Iterable[Result]) -> Iterator[NotAsked]:
        """Every owed result that there is not, with the reason."""
        left = {key: count for key, (count, _) in self._owed.items()}
        for result in results:
            key = (result.control, result.target, result.subject)
            if key in left:
                left[key] -= 1
        for key, count in left.items():
            for _ in range(count):
                yield NotAsked(*key, self._owed[key][1])

    def _owe(self, control: str, subject: Subject) -> None:
        key = _key(control, subject)
        count, reason = self._owed.get(key, _NOTHING)
        self._note(key, count + 1, reason)

    def _note(self, key: _Key, count: int, reason: str) -> None:
        pair = (count, reason)
        self._owed[key] = self._same.setdefault(pair, pair)


def _key(control: str, subject: Subject) -> _Key:
    return control, subject.machine.target.name, subject.name
