"""The picture of a guest's chain: four stages, from its host's CPU to an L2, and the links of each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Nested
from nested_kvm.results.diagnosis import Diagnosis, SeenLink
from nested_kvm.results.run import Run

_STAGES: Final = {"l0": "Host", "domain": "Domain", "l1": "Guest", "l2": "L2"}
_ANSWERS: Final = (Answer.NO, Answer.UNKNOWN, Answer.YES)


@dataclass(frozen=True, slots=True)
class Link:
    """One link: its name, and its short name within its stage."""

    whole: str
    name: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """The links of one machine."""

    name: str
    links: tuple[Link, ...]


def stages(diagnosis: Diagnosis) -> list[Stage]:
    """Return the links in their order, grouped by machine."""
    return [
        Stage(_STAGES[prefix], tuple(_link(link) for link in links))
        for prefix, links in groupby(diagnosis.links, key=_prefix)
    ]


def rightly_unable(run: Run) -> frozenset[str]:
    """Return the guests that must not nest, and cannot: nothing is broken there."""
    return frozenset(each.target for each in run.answers if each.nested is Nested.FORBIDDEN and each.complies)


def in_order(diagnoses: Iterable[Diagnosis], rightly: frozenset[str] = frozenset()) -> list[Diagnosis]:
    """Return guests that cannot nest first, then unknown ones, then those that will stop nesting; at last `rightly`."""
    return sorted(
        diagnoses,
        key=lambda each: (each.target in rightly, _ANSWERS.index(each.can_nest), not each.warnings, each.target),
    )


def answers(diagnoses: Iterable[Diagnosis], rightly: frozenset[str] = frozenset()) -> Iterator[tuple[Answer, int]]:
    """Return the number of guests with each answer, without those of `rightly`."""
    given = [each.can_nest for each in diagnoses if each.target not in rightly]
    yield from ((answer, given.count(answer)) for answer in _ANSWERS if answer in given)


def _prefix(link: SeenLink) -> str:
    return link.name.value.partition("-")[0]


def _link(link: SeenLink) -> Link:
    return Link(link.name.value, link.name.value.partition("-")[2], link.state.value, link.text)
