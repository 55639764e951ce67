"""Readings that go missing or lie, one at a time, and what the controls make of it.

Silence (a reading that is not there, cannot be read, or did not end in time) shows nothing: it never makes a pass of
what failed or was undecided. A lie (a file that is empty, cut or gone, and reads well) is another machine: it may pass
where the reading was the very evidence of the fault, and nowhere else.

`python -m tests.support.adversary` prints the readings of passing machines that no control misses.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.model.verdict import Outcome
from tests.support.evaluation import Answer, NotedReadings, Readings, evaluate, readings_of
from tests.support.scenario import scenarios

_OPEN: Final = {Outcome.FAIL, Outcome.UNKNOWN, Outcome.ERROR}


def _with(status: Status) -> Callable[[Reading], Reading | None]:
    return lambda reading: replace(reading, status=status, text="", exit_status=None, link=None)


SILENCES: Final[Mapping[str, Callable[[Reading], Reading | None]]] = {
    "dropped": lambda _: None,
    "unreadable": _with(Status.UNREADABLE),
    "timed out": _with(Status.TIMED_OUT),
    "no such command": _with(Status.MISSING),
    "failed": lambda reading: replace(reading, status=Status.FAILED, text="", exit_status=1),
}
LIES: Final[Mapping[str, Callable[[Reading], Reading | None]]] = {
    "blank": lambda reading: replace(reading, status=Status.OK, text="", exit_status=0),
    "cut": lambda reading: replace(reading, text=reading.text[: len(reading.text) // 2]),
    "gone": _with(Status.ABSENT),
}
MUTATIONS: Final = {**SILENCES, **LIES}
_OF_FILES: Final = {"unreadable", "gone"}
_OF_COMMANDS: Final = {"timed out", "no such command", "failed"}

NOT_NEEDED: Final = {
    r"/etc/os-release": "the distribution's name matters where the advisories know its releases",
    r"/lib/modules": "it shows a fixed kernel that is not booted, where the running one is not fixed",
    r"gzip -dc .*": "Debian's own version proves a fix as well",
    r"/sys/class/dmi/id/product_uuid": "a host's uuid is compared with nothing, and a guest's may be hidden",
    r"/sys/module/kvm(/parameters)?": "on x86 the vendor's module has nested",
    r"/usr/lib/modprobe\.d|/lib/modprobe\.d": "an empty directory, or none, is the same; kmod's answer is compared",
    r"/proc/\[0-9\]\*/cmdline|ls -lq /proc/.*": "read for hosts without libvirt, and where nesting is forbidden",
    r"virsh .* version --daemon": "an old libvirt matters only where its cache is stale",
    r"virsh .* (list --all --uuid --with-snapshot|snapshot-list .*)": "a domain without snapshots",
    r"virsh .* (list --all --uuid|capabilities)": "a guest's own libvirt is not evaluated; hosts miss both",
    r"getfacl .*|id( -u)?": "the mode decides, and root was logged in",
    r"/proc/cmdline|modinfo .*|ls -l /proc/self/ns": "in a guest nothing persistent is required",
}
"""Readings that no control misses on a machine that passes, each with the reason."""


@dataclass(frozen=True, order=True)
class Mutation:
    """What happens to one reading of one target."""

    target: str
    source: str
    kind: str

    def of(self, readings: Readings) -> Readings:
        """The readings with this one changed."""
        own = dict(readings[self.target])
        changed = MUTATIONS[self.kind](own[self.source])
        if changed is None:
            del own[self.source]
        else:
            own[self.source] = changed
        return {**readings, self.target: own}


@dataclass(frozen=True, order=True)
class FalsePass:
    """A control that passes after a reading was changed, and did not before."""

    scenario: str
    subject: str
    control: str
    before: str
    mutation: Mutation

    @property
    def kind(self) -> tuple[str, str, str]:
        """The control, the reading and what happened to it, whatever the machine."""
        return self.control, self.mutation.source, self.mutation.kind


def mutations(name: str) -> Iterator[Mutation]:
    """Everything that can happen to one reading of a scenario's machines."""
    for target, readings in readings_of(name).items():
        for source, reading in readings.items():
            for kind in MUTATIONS:
                fits = kind not in (_OF_COMMANDS if source.startswith("/") else _OF_FILES)
                if fits and MUTATIONS[kind](reading) != reading:
                    yield Mutation(target, source, kind)


@cache
def answers(name: str) -> dict[tuple[str, str], Answer]:
    """The outcomes of a scenario as it was recorded."""
    return evaluate(name, readings_of(name))


@cache
def cases() -> dict[str, tuple[Mutation, ...]]:
    """The scenarios in which a control fails or is undecided, each with the mutations of its readings."""
    return {name: tuple(mutations(name)) for name in observed() if _open(name)}


def observed() -> list[str]:
    """The scenarios whose machine answered."""
    return sorted(name for name, scenario in scenarios().items() if scenario.unreachable is None)


def _open(name: str) -> dict[tuple[str, str], Answer]:
    return {key: answer for key, answer in answers(name).items() if answer.outcome in _OPEN}


def false_passes(name: str, *changes: Mutation) -> list[FalsePass]:
    """What passes after the changes, did not before, and was not shown by a reading that lies now."""
    return _false_passes(name, _open(name), *changes)


def false_passes_of_one(name: str, change: Mutation) -> list[FalsePass]:
    """The same of one change, where only those controls are evaluated again that have read what it changes."""
    asked = {key: answer for key, answer in _open(name).items() if is_read_by(name, key, change)}
    return _false_passes(name, asked, change) if asked else []


def _false_passes(name: str, before: Mapping[tuple[str, str], Answer], *changes: Mutation) -> list[FalsePass]:
    readings = readings_of(name)
    for change in changes:
        readings = change.of(readings)
    after = evaluate(name, readings, before)
    return [
        FalsePass(name, *key, before[key].outcome, changes[0])
        for key, found in after.items()
        if found.outcome is Outcome.PASS and not any(_was_the_evidence(change, before[key], name) for change in changes)
    ]


def is_read_by(name: str, key: tuple[str, str], change: Mutation) -> bool:
    """Whether the control has read it; or, where the reading is not there any more, asked which there are."""
    noted = _read_by(name, key)[change.target]
    is_missed = noted.are_listed and change.kind == "dropped"
    return is_missed or change.source in noted.sources or change.source.startswith("virsh ")


@cache
def _read_by(name: str, key: tuple[str, str]) -> dict[str, NotedReadings]:
    """What one control reads of each target, and all that is evaluated before it; virsh's answers are not noted."""
    found = {target: NotedReadings(readings) for target, readings in readings_of(name).items()}
    evaluate(name, readings_of(name), {key}, found)
    return found


def _was_the_evidence(change: Mutation, answer: Answer, name: str) -> bool:
    """Whether a reading that lies now was quoted for the finding, or was what could not be read."""
    if change.kind in SILENCES:
        return False
    reading = readings_of(name)[change.target][change.source]
    return not reading.is_ok or any(_is_of(quoted, change.source) for quoted in answer.quoted)


def _is_of(quoted: str, source: str) -> bool:
    if source.startswith("virsh"):
        words = source.split()[4:]
        return quoted.startswith("virsh") and quoted.split()[1:2] == words[:1]
    return quoted.startswith(source)


def unmissed(name: str) -> list[tuple[str, str]]:
    """The readings of a scenario that passes which no control misses: blank, dropped or cut, all outcomes stay."""
    usual = {key: answer.outcome for key, answer in answers(name).items()}
    found: dict[tuple[str, str], bool] = {}
    for change in mutations(name):
        after = evaluate(name, change.of(readings_of(name)))
        is_missed = {key: answer.outcome for key, answer in after.items()} != usual
        place = change.target, change.source
        found[place] = found.get(place, False) or is_missed
    return sorted(place for place, is_missed in found.items() if not is_missed)


def why_not_needed(source: str) -> str | None:
    """Why a machine may pass without this reading; None: its absence would be taken for compliance."""
    return next((why for pattern, why in NOT_NEEDED.items() if re.fullmatch(pattern, source)), None)


def report(names: Iterator[str]) -> Iterator[str]:
    """For each machine, the readings that no control misses: not needed, or their absence is taken for compliance."""
    for name in names:
        of_all = sum(len(readings) for readings in readings_of(name).values())
        missing = unmissed(name)
        yield f"{name}: {len(missing)} of {of_all} readings are missed by no control"
        for target, source in missing:
            yield f"  {target}: {source}: {why_not_needed(source) or 'UNEXPLAINED'}"


if __name__ == "__main__":
    chosen = sys.argv[1:] or [name for name in scenarios() if name.endswith(("-passes", "-holds"))]
    sys.stdout.writelines(f"{line}\n" for line in report(iter(chosen)))
