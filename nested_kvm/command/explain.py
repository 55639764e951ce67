"""`nested-kvm explain`: a control, a cause, or a message, with the failures that people published about it."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Final

from nested_kvm.command.symptoms import Symptom, symptoms_of
from nested_kvm.controls.catalogue import catalogue, sources
from nested_kvm.controls.catalogue_example import GUEST, HOST, example_remedy
from nested_kvm.errors import UsageError
from nested_kvm.model.cause import Cause
from nested_kvm.model.control import Control
from nested_kvm.util.home import HOME
from nested_kvm.util.text import printable

FIELD_FILE: Final = "field-failures.json"
_SHOWN: Final = 3
"""Published failures that look like a message."""
_ALIKE: Final = 3
"""Words in common from which on they do."""
_SHORT_WORDS: Final = 5
"""Letters below which a word says little about a failure, unless it is one of those below."""
_TERMS: Final = frozenset({"kvm", "svm", "vmx", "amd", "bios", "qemu", "/dev/kvm"})


@dataclass(frozen=True, slots=True)
class PublishedFailure:
    """A published failure, and what the audit reports of it."""

    title: str
    thread: str
    about: str
    reported: tuple[str, ...]
    """Control, outcome and, for a finding, its cause; and the cause of a broken chain alone."""

    def has(self, word: str) -> bool:
        """Whether a control or a cause is in what is reported."""
        return any(word in each.split() for each in self.reported)


def explain(what: str) -> int:
    """Print an explanation, and return the exit status.

    Raises:
        UsageError: nothing is known about it.
    """
    sys.stdout.write("".join(f"{line}\n" for line in _lines(what.strip())))
    return 0


@cache
def published_failures() -> tuple[PublishedFailure, ...]:
    """The published failures that the project's tests replay."""
    text = files(__package__).joinpath(FIELD_FILE).read_text(encoding="utf-8")
    return tuple(PublishedFailure(**{**each, "reported": tuple(each["reported"])}) for each in json.loads(text))


def _lines(what: str) -> list[str]:
    controls = catalogue(HOME)
    for control in controls:
        if control.id == what.upper():
            return list(_of_control(control))
    for cause in Cause:
        if cause.code == what.lower():
            return list(_of_cause(cause, controls))
    found = list(_of_message(what, controls))
    if not found:
        known = [*(control.id for control in controls), *(cause.code for cause in Cause)]
        near = get_close_matches(what.upper(), known, 1) or get_close_matches(what.lower(), known, 1)
        hint = f"did you mean {near[0]}?" if near else _elsewhere(what)
        raise UsageError(f"nothing is known about {printable(what, 100)!r}: {hint}")
    return found


def _elsewhere(what: str) -> str:
    """Where to go on from a text of which nothing is known: a message has words, a name has none."""
    if " " in what:
        return "`nested-kvm doctor` inspects this machine itself"
    return "`nested-kvm controls` lists the controls"


def _of_control(control: Control) -> Iterator[str]:
    yield f"{control.id} ({control.severity}): {control.title}"
    yield from ("", *control.reason.splitlines())
    yield from ("", *(f"observed: {source}" for source in sources(control)))
    yield f"unknown:  {control.unknown or 'never.'}"
    yield from (f"see:      {reference}" for reference in control.references)
    for cause in control.causes:
        yield from ("", f"{cause.code}: {cause.explanation}", *_remedy(control, cause))
    yield from _published(failure for failure in published_failures() if failure.has(control.id))


def _of_cause(cause: Cause, controls: Iterable[Control]) -> Iterator[str]:
    yield f"{cause.code}: {cause.explanation}"
    finding = [control for control in controls if cause in control.causes]
    if finding:
        yield from ("", "found by:", *(f"  {each.id} ({each.severity}): {each.title}" for each in finding))
        yield from ("", *_remedy(finding[0], cause))
    yield from _published(failure for failure in published_failures() if failure.has(cause.code))


def _of_message(text: str, controls: list[Control]) -> Iterator[str]:
    for symptom in symptoms_of(text):
        yield from _of_symptom(symptom, controls)
    words = _words(text)
    ranked = sorted(published_failures(), key=lambda failure: -len(words & _words(failure.about)))
    yield from _published(each for each in ranked[:_SHOWN] if len(words & _words(each.about)) >= _ALIKE)


def _of_symptom(symptom: Symptom, controls: list[Control]) -> Iterator[str]:
    yield from (f"“{symptom.message}”", symptom.meaning, "", "usual causes:")
    for cause in symptom.causes:
        yield f"  {cause.code}: {cause.explanation}"
        found_by = [control.id for control in controls if cause in control.causes]
        yield f"    found by {', '.join(found_by)}; nested-kvm explain {cause.code}"
    yield ""


def _remedy(control: Control, cause: Cause) -> Iterator[str]:
    remedy = example_remedy(control, cause)
    if remedy:
        yield f"to fix it (here for {HOST}, a host on AMD with libvirt, and its guest {GUEST}):"
        yield from (f"  {line}" for line in remedy)


def _published(failures: Iterable[PublishedFailure]) -> Iterator[str]:
    for number, failure in enumerate(failures):
        if number == 0:
            yield from ("", "published failures that look like it:")
        yield from (f"  {failure.title}: {failure.about}", f"    {failure.thread}")


def _words(text: str) -> frozenset[str]:
    words = re.findall(r"[a-z0-9_/]+", text.lower())
    return frozenset(word for word in words if len(word) >= _SHORT_WORDS or word in _TERMS)
