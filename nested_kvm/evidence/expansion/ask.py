"""Asks a host's libvirt and QEMU what the definitions of its domains give: only with `--active`."""

import secrets
from collections.abc import Iterator, Mapping
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
from nested_kvm.evidence.probe.answer import parse_answer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.architecture import X86

MOST: Final = 64
"""How many domains of a host are asked about; the rules judge the others. What does not run comes first."""
AT_MOST: Final = 20
"""Seconds for one translation, and for one QEMU."""


def ask_definitions(bundle: Bundle, connection: Connection, settings: Settings) -> dict[str, Reading]:
    """Ask what the persistent definitions of a host's domains give, and return the readings. Nothing is raised."""
    uuids = _askable(bundle)
    uri = bundle.target.libvirt
    if not uuids or uri is None:
        return {}
    answers = _execute(connection, settings, "translate", uri, *uuids)
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
    for emulator, machine, group in _by_qemu(translations):
        answer = _execute(connection, settings, "expand", emulator, machine, monitor_commands(group))
        told = answer.get("query-cpu-model-expansion")
        for uuid, text in answers_of_monitor(told.text if told is not None else ""):
            if uuid in group:
                readings[expanded(uuid)] = Reading(expanded(uuid), Status.OK, text)
    return readings


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


def _execute(connection: Connection, settings: Settings, *question: str) -> Mapping[str, Reading]:
    """The answers that arrived complete; what was not answered is missing, and the rules judge it."""
    nonce = secrets.token_hex(16)
    seconds = str(max(1, int(min(AT_MOST, settings.probe_timeout / 2))))
    try:
        data = connection.execute(script(), nonce, seconds, *question).stdout
    except (ConnectionFailed, LimitExceeded) as error:
        data = error.partial
    except ObservationError:
        return {}
    try:
        return parse_answer(data, nonce).readings
    except AnswerUnusable:
        return {}
