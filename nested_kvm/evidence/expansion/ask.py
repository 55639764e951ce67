"""Asks a host's libvirt and QEMU what CPU definitions give, of its domains or of candidates: only with `--active`."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from nested_kvm.connection import Connection, Settings
from nested_kvm.errors import AnswerUnusable, ConnectionFailed, LimitExceeded, ObservationError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.expansion import (
    Translation,
    answers_of_monitor,
    expanded,
    monitor_commands,
    script,
    translated,
)
from nested_kvm.evidence.expansion.question import Question
from nested_kvm.evidence.probe.answer import parse_answer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.architecture import X86
from nested_kvm.util.text import printable

MOST: Final = 64
"""How many definitions a host is asked about; the rules judge the others. Of domains, what does not run comes first."""
AT_MOST: Final = 20
"""Seconds for one translation, and for one QEMU."""
LENGTH: Final = 96 * 1024
"""Characters of all questions about candidates together."""
_CONNECTS: Final = "virsh uri"
_MONITOR: Final = "query-cpu-model-expansion"


@dataclass(frozen=True, slots=True)
class _Answer:
    """The readings that arrived complete, and what else is known of an execution."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    complaint: str = ""


def ask_definitions(bundle: Bundle, connection: Connection, settings: Settings) -> dict[str, Reading]:
    """Ask what the persistent definitions of a host's domains give, and return the readings. Nothing is raised."""
    uuids = _askable(bundle)
    uri = bundle.target.libvirt
    if not uuids or uri is None:
        return {}
    answers = _execute(connection, settings, "translate", uri, *uuids).readings
    readings: dict[str, Reading] = {}
    translations: dict[str, Translation] = {}
    for uuid in uuids:
        reading = answers.get(translated(uuid))
        if reading is None:
            continue
        translation = Translation.parse(reading.text) if reading.is_ok else None
        if translation is not None:
            translations[uuid] = translation
            readings[reading.source] = Reading(reading.source, Status.OK, translation.text)
        elif not reading.is_ok:
            readings[reading.source] = reading
    found = _expansions(connection, settings, translations)
    return readings | {source: reading for source, reading in found.items() if reading.is_ok}


def ask_candidates(
    bundle: Bundle, connection: Connection, settings: Settings, questions: Sequence[Question]
) -> dict[str, Reading]:
    """Ask what definitions give that the host does not have. Nothing is raised.

    There is a reading for each of them: the answer, or why there is none.
    """
    distinct = {each.id: each for each in questions}
    uri, reason = bundle.target.libvirt, _why_not_askable(bundle)
    if uri is None or reason is not None:
        return _unanswered(distinct, reason or "")
    chosen = _within_limits(distinct)
    words = (word for each in chosen.values() for word in (each.id, each.xml))
    answer = _execute(connection, settings, "translate_given", uri, *words) if chosen else _Answer()
    translations: dict[str, Translation] = {}
    readings = _unanswered(
        {each: distinct[each] for each in distinct if each not in chosen},
        f"of one host only {MOST} definitions are asked about, of {LENGTH} characters together",
    )
    for name, question in chosen.items():
        reading = readings[translated(name)] = _translation_of(question, answer)
        translation = Translation.parse(reading.text) if reading.is_ok else None
        if translation is not None:
            translations[name] = translation
    return readings | _expansions(connection, settings, translations)


def _why_not_askable(bundle: Bundle) -> str | None:
    if bundle.target.libvirt is None:
        return "there is no libvirt (libvirt: none)"
    if bundle.target.level is not TargetLevel.L0:
        return "it is not known to be an L0"
    machine = bundle.readings.get("uname -m")
    if machine is None or not machine.is_ok:
        return "its architecture is not known"
    return None if machine.text.strip() in X86.machines else f"it is {printable(machine.text, 40)}, and x86 is asked"


def _unanswered(questions: Mapping[str, Question], reason: str) -> dict[str, Reading]:
    return {translated(name): _no_answer(translated(name), reason) for name in questions}


def _no_answer(source: str, reason: str) -> Reading:
    return Reading(source, Status.NOT_COLLECTED, reason)


def _within_limits(questions: Mapping[str, Question]) -> dict[str, Question]:
    chosen: dict[str, Question] = {}
    length = 0
    for name, question in questions.items():
        length += len(question.xml)
        if len(chosen) == MOST or length > LENGTH:
            break
        chosen[name] = question
    return chosen


def _translation_of(question: Question, answer: _Answer) -> Reading:
    """What counts of a translation; in place of one that does not count, why."""
    source = translated(question.id)
    reading = answer.readings.get(source)
    if reading is None:
        return _no_translation(source, answer)
    if not reading.is_ok:
        return reading
    translation = Translation.parse(reading.text)
    if translation is None:
        return _no_answer(source, "it is not a QEMU under KVM whose CPU -cpu alone decides")
    if question.emulator not in {None, translation.emulator}:
        return _no_answer(source, f"libvirt takes {translation.emulator} for it, and not {question.emulator}")
    return Reading(source, Status.OK, translation.text)


def _no_translation(source: str, answer: _Answer) -> Reading:
    connects = answer.readings.get(_CONNECTS)
    if connects is not None and connects.status in {Status.MISSING, Status.TIMED_OUT}:
        return Reading(source, connects.status)
    if connects is not None and not connects.is_ok:
        return _no_answer(source, f"virsh does not connect: {printable(connects.text, 300)}")
    return _no_answer(source, answer.complaint or "there was no time left for it")


def _expansions(
    connection: Connection, settings: Settings, translations: Mapping[str, Translation]
) -> dict[str, Reading]:
    """What QEMU makes of each translation; why it does not, where that is so."""
    readings: dict[str, Reading] = {}
    ends = time.monotonic() + settings.probe_timeout
    for emulator, machine, group in _by_qemu(translations):
        if time.monotonic() > ends:
            readings |= {expanded(each): _no_answer(expanded(each), "there was no time left for it") for each in group}
            continue
        answer = _execute(connection, settings, "expand", emulator, machine, monitor_commands(group))
        told = answer.readings.get(_MONITOR)
        for uuid in group:
            readings[expanded(uuid)] = _no_expansion(expanded(uuid), told, answer.complaint)
        for uuid, text in answers_of_monitor(told.text if told is not None else ""):
            if uuid in group:
                readings[expanded(uuid)] = Reading(expanded(uuid), Status.OK, text)
    return readings


def _no_expansion(source: str, told: Reading | None, complaint: str) -> Reading:
    if told is not None and told.status in {Status.MISSING, Status.TIMED_OUT}:
        return Reading(source, told.status)
    status = "" if told is None or told.exit_status is None else f"it ended with exit status {told.exit_status}"
    return _no_answer(source, ": ".join(filter(None, (status, complaint))) or "it gave no answer")


def _askable(bundle: Bundle) -> list[str]:
    """The domains of an x86 host under KVM whose definition libvirt knows."""
    machine = bundle.readings.get("uname -m")
    if bundle.target.level is not TargetLevel.L0 or machine is None or machine.text.strip() not in X86.machines:
        return []
    domains = [each for each in (bundle.libvirt.domains if bundle.libvirt is not None else ()) if each.inactive_xml]
    return [each.uuid for each in sorted(domains, key=lambda each: each.live_xml is not None)][:MOST]


def _by_qemu(translations: Mapping[str, Translation]) -> Iterator[tuple[str, str, dict[str, Translation]]]:
    """The translations, by the emulator and the machine type of the QEMU that is asked about them."""

    def qemu(item: tuple[str, Translation]) -> tuple[str, str]:
        return item[1].emulator, item[1].machine

    for (emulator, machine), group in groupby(sorted(translations.items(), key=qemu), key=qemu):
        yield emulator, machine, dict(group)


def _execute(connection: Connection, settings: Settings, *question: str) -> _Answer:
    """The answers that arrived complete; what was not answered is missing, and the rules judge it.

    A target that exceeds the time limit of an execution is abandoned, so the script stops asking long before.
    """
    nonce = secrets.token_hex(16)
    each = max(1, int(min(AT_MOST, settings.probe_timeout / 4)))
    enough = max(1, int(settings.probe_timeout / 2))
    try:
        result = connection.execute(script(), nonce, str(each), str(enough), *question)
        data, complaint = result.stdout, printable(result.stderr, 300)
    except (ConnectionFailed, LimitExceeded) as error:
        data, complaint = error.partial, printable(error, 300)
    except ObservationError as error:
        return _Answer(complaint=printable(error, 300))
    try:
        return _Answer(parse_answer(data, nonce).readings, complaint)
    except AnswerUnusable as error:
        return _Answer(complaint=complaint or printable(error, 300))
