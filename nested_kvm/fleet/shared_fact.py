"""Facts that machines share because they follow from the same readings: most of a fleet has the same files."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Concatenate, Final, Generic, ParamSpec, TypeVar

from typing_extensions import override

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy

_Fact = TypeVar("_Fact")
_Given = ParamSpec("_Given")

REMEMBERED: Final = 16
"""Facts of one kind that are kept for the next machine, those that were taken last."""
LONGEST: Final = 256 * 1024
"""Letters of all readings that a fact follows from; one of more is not kept."""
_NO_TARGET: Final = Target("", TargetLevel.AUTO, None, Policy())
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class SharedFact(Generic[_Given, _Fact]):
    """A function from a bundle to a fact, evaluated once for all machines of which it reads the same.

    It is given the readings alone, and what it reads of them is noted, also what is not there. Another machine has the
    same fact only if each of these readings is equal there, and so are all other arguments. Errors are not kept, nor
    what follows from very much.
    """

    def __init__(self, function: Callable[Concatenate[Bundle, _Given], _Fact]) -> None:
        self._function = function
        self._known: list[_Known[_Fact]] = []

    def of(self, bundle: Bundle, *arguments: _Given.args, **named: _Given.kwargs) -> _Fact:
        """Return the fact.

        Raises:
            ObservationError: as the function does.
        """
        given = (bundle.failure, bundle.cut, bundle.origin, arguments, named)
        for known in self._known:
            if known.holds_for(bundle.readings, given):
                self._keep(known)
                return known.fact
        noted = _NotedReadings(bundle.readings)
        alone = Bundle(_NO_TARGET, _NEVER, "", noted, cut=bundle.cut, failure=bundle.failure, origin=bundle.origin)
        fact = self._function(alone, *arguments, **named)
        if noted.length <= LONGEST:
            self._keep(_Known(fact, given, noted.read, noted.names))
        return fact

    def _keep(self, known: "_Known[_Fact]") -> None:
        others = (each for each in self._known if each is not known)
        self._known = [known, *others][:REMEMBERED]


@dataclass(frozen=True, slots=True, eq=False)
class _Known(Generic[_Fact]):
    """A fact, and all that it follows from."""

    fact: _Fact
    given: tuple[object, ...]
    read: Mapping[str, Reading | None]
    """None: there is no such reading."""
    names: tuple[str, ...] | None
    """The names of all readings, in their order; None: they were not asked for."""

    def holds_for(self, readings: Mapping[str, Reading], given: tuple[object, ...]) -> bool:
        if self.given != given or not all(_is_same(readings.get(name), each) for name, each in self.read.items()):
            return False
        return self.names is None or self.names == tuple(readings)


def _is_same(one: Reading | None, other: Reading | None) -> bool:
    return one is other or one == other


class _NotedReadings(Mapping[str, Reading]):
    """Readings that note which of them are read."""

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        self._readings = readings
        self.read: dict[str, Reading | None] = {}
        self.names: tuple[str, ...] | None = None

    @property
    def length(self) -> int:
        """The letters of all that was read."""
        return sum(len(each.text) for each in self.read.values() if each is not None)

    @override
    def __getitem__(self, name: str) -> Reading:
        found = self.read[name] = self._readings.get(name)
        if found is None:
            raise KeyError(name)
        return found

    @override
    def __iter__(self) -> Iterator[str]:
        self.names = tuple(self._readings)
        return iter(self.names)

    @override
    def __len__(self) -> int:
        self.names = tuple(self._readings)
        return len(self.names)
