"""The fleet as a picture of its layers: each host with its guests on it, now and after the next boot.

In a large fleet hosts that look alike are drawn once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Nested
from nested_kvm.results.diagnosis import Diagnosis, LinkState
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.run import Run

_HOSTS: Final = 12
"""Hosts that are each drawn by themselves."""
_GUESTS: Final = 8
"""Guests of one host that are each drawn by themselves."""
_TONES: Final = ("bad", "later", "unsure", "good")
_WORDS: Final = {Answer.YES: "yes", Answer.NO: "no", Answer.UNKNOWN: "unknown"}
_LAYERS: Final = {"l0-cpu": "CPU", "l0-firmware": "firmware", "l0-module": "KVM module", "l0-nested": "nested"}
_STATES: Final = {
    LinkState.HOLDS: "holds",
    LinkState.BROKEN: "is broken",
    LinkState.UNSEEN: "was not seen",
    LinkState.NOTCHECKED: "was not checked",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What is drawn of a machine but its name."""

    tone: str
    """bad, later (as required now, and not after the next boot), unsure or good."""
    now: str
    after_boot: str
    forbidden: bool
    why: str
    """The cause; empty: it is as required."""
    broken: str
    """The first broken link of a guest; empty: none."""

    def mark_of(self, word: str) -> str:
        """Return whether an answer is as required: right or wrong; open where it is unknown."""
        if word == _WORDS[Answer.UNKNOWN]:
            return "open"
        return "right" if (word == _WORDS[Answer.NO]) is self.forbidden else "wrong"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a host, from its CPU up."""

    name: str
    state: str
    words: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """Machines that look alike: one, or several."""

    names: Sequence[str]
    look: Look


@dataclass(frozen=True, slots=True)
class HostPicture:
    """A host with its guests, or several that look alike; `host` None: guests of which the host is not known."""

    host: Drawn | None
    layers: Sequence[Layer]
    guests: Sequence[Drawn]

    @property
    def tone(self) -> str:
        """The worst of its parts."""
        looks = [each.look for each in (*([] if self.host is None else [self.host]), *self.guests)]
        return min((look.tone for look in looks), key=_TONES.index, default="good")

    @property
    def names(self) -> Sequence[str]:
        """The hosts that it stands for; where none is known, the guests."""
        return [name for each in self.guests for name in each.names] if self.host is None else self.host.names

    @property
    def hosts(self) -> int:
        """How many hosts it stands for."""
        return 0 if self.host is None else len(self.host.names)


def fleet_picture(run: Run) -> list[HostPicture]:
    """Return the pictures, the worst first; those of more hosts first."""
    diagnoses = {each.target: each for each in run.diagnoses}
    hosts = [each for each in run.answers if each.host is None and each.level is not TargetLevel.L1]
    guests: dict[str | None, list[NestingAnswer]] = {}
    known = {each.target for each in hosts}
    for each in run.answers:
        if each.target not in known:
            guests.setdefault(each.host if each.host in known else None, []).append(each)
    made = [_picture(each, guests.get(each.target, ()), diagnoses) for each in hosts]
    if len(made) > _HOSTS:
        made = _alike(made)
    if None in guests:
        made.append(HostPicture(None, (), _drawn(guests[None], diagnoses)))
    return sorted(made, key=lambda each: (_TONES.index(each.tone), -each.hosts))


def _picture(host: NestingAnswer, guests: Sequence[NestingAnswer], diagnoses: dict[str, Diagnosis]) -> HostPicture:
    of_guests = (diagnoses[each.target] for each in guests if each.target in diagnoses)
    layers = _layers(next(of_guests, None))
    return HostPicture(Drawn((host.target,), _look(host, None)), layers, _drawn(guests, diagnoses))


def _layers(diagnosis: Diagnosis | None) -> tuple[Layer, ...]:
    links = () if diagnosis is None else diagnosis.links
    return tuple(
        Layer(_LAYERS[each.name.value], each.state.value, _STATES[each.state])
        for each in links
        if each.name.value in _LAYERS
    )


def _drawn(guests: Sequence[NestingAnswer], diagnoses: dict[str, Diagnosis]) -> tuple[Drawn, ...]:
    looks = [(each.target, _look(each, diagnoses.get(each.target))) for each in guests]
    looks.sort(key=lambda found: (_TONES.index(found[1].tone), found[0]))
    if len(looks) <= _GUESTS:
        return tuple(Drawn((name,), look) for name, look in looks)
    together: dict[Look, list[str]] = {}
    for name, look in looks:
        together.setdefault(look, []).append(name)
    return tuple(Drawn(tuple(names), look) for look, names in together.items())


def _alike(pictures: Iterable[HostPicture]) -> list[HostPicture]:
    """Bring hosts together that differ in names only."""
    together: dict[object, list[HostPicture]] = {}
    for each in pictures:
        looks = tuple((len(guest.names), guest.look) for guest in each.guests)
        together.setdefault((each.host and each.host.look, each.layers, looks), []).append(each)
    return [_as_one(group) for group in together.values()]


def _as_one(group: Sequence[HostPicture]) -> HostPicture:
    first = group[0]
    if len(group) == 1 or first.host is None:
        return first
    names = tuple(name for each in group if each.host is not None for name in each.host.names)
    guests = (
        Drawn(tuple(name for each in group for name in each.guests[index].names), guest.look)
        for index, guest in enumerate(first.guests)
    )
    return HostPicture(Drawn(names, first.host.look), first.layers, tuple(guests))


def _look(answer: NestingAnswer, diagnosis: Diagnosis | None) -> Look:
    broken = "" if diagnosis is None or diagnosis.broken_link is None else diagnosis.broken_link.value
    return Look(
        tone=_tone(answer),
        now=_WORDS[answer.now],
        after_boot=_WORDS[answer.after_boot],
        forbidden=answer.nested is Nested.FORBIDDEN,
        why="" if answer.complies or answer.cause is None else answer.cause.code,
        broken="" if answer.complies else broken,
    )


def _tone(answer: NestingAnswer) -> str:
    if answer.complies is None:
        return "unsure"
    if answer.complies:
        return "good"
    wanted = Answer.NO if answer.nested is Nested.FORBIDDEN else Answer.YES
    return "later" if answer.now is wanted else "bad"
