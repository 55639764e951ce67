"""Observes one target: the probe in one execution, and libvirt in another."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from nested_kvm.connection import Connection, Settings
from nested_kvm.connection.base import CommandResult
from nested_kvm.errors import AnswerUnusable, ConnectionFailed, LimitExceeded
from nested_kvm.evidence.bundle import Bundle, LibvirtAnswer
from nested_kvm.evidence.expansion.ask import ask_candidates, ask_definitions
from nested_kvm.evidence.expansion.question import Question
from nested_kvm.evidence.l2.boot import boot_l2
from nested_kvm.evidence.layer import is_guest
from nested_kvm.evidence.libvirt.access import Access, choose_access, query_libvirt
from nested_kvm.evidence.libvirt.virsh import without_virsh
from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.probe.answer import ProbeAnswer, parse_answer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.redaction import without_secrets
from nested_kvm.evidence.sources import CPUINFO
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.util.text import printable
from nested_kvm.version import VERSION

SECTION_LIMIT: Final = 10
"""Seconds after which the probe kills a command."""


def observe(
    target: Target,
    connection: Connection,
    settings: Settings,
    *,
    active: bool = False,
    questions: Sequence[Question] | None = None,
) -> Bundle:
    """Observe a target once. What arrived before a limit was exceeded is kept.

    `active` starts an L2 in an L1, and has an L0's libvirt and QEMU say what CPU definitions give; with `questions`,
    which are about candidates, they alone are asked of an L0, and nothing is started.

    Raises:
        ObservationError: it could not be inspected.
    """
    observed_at = datetime.now(UTC)
    access = choose_access(target, connection)
    answer = _probe(connection, settings, access, target)
    bundle = bundle_of_answer(
        target, answer, observed_at, lambda uri: query_libvirt(uri, access, connection, answer.readings, settings)
    )
    if not active:
        return bundle
    if questions is None:
        tried = boot_l2(bundle.target, connection, settings, bundle.readings)
        tried |= ask_definitions(bundle, connection, settings)
    else:
        tried = ask_candidates(bundle, connection, settings, questions)
    return replace(bundle, readings={**bundle.readings, **without_secrets(tried)})


def bundle_of_answer(
    target: Target, answer: ProbeAnswer, observed_at: datetime, ask: Callable[[str], LibvirtAnswer]
) -> Bundle:
    """Make a bundle of the probe's answer. `ask` queries the libvirt of a URI, unless the target is a guest."""
    level = _level(target, answer.readings)
    libvirt = None if level is TargetLevel.L1 or target.libvirt is None else ask(target.libvirt)
    told = replace(target, level=level)
    kept = without_secrets(without_virsh(answer.readings))
    return Bundle(told, observed_at, VERSION, kept, answer.cut, libvirt)


def _probe(connection: Connection, settings: Settings, access: Access, target: Target) -> ProbeAnswer:
    nonce = secrets.token_hex(16)
    seconds = str(max(1, int(min(SECTION_LIMIT, settings.probe_timeout / 2))))
    uri = target.libvirt
    arguments = (nonce, seconds, access.virsh if uri else "never", uri or "", target.account or "")
    try:
        answer = connection.execute(probe_script(), *arguments)
    except (ConnectionFailed, LimitExceeded) as error:
        return _partial(error, nonce)
    try:
        return parse_answer(answer.stdout, nonce)
    except AnswerUnusable as error:
        raise AnswerUnusable(f"{connection.name}: {error}{_complaint(answer)}", partial=answer.stdout) from None


def _partial(error: ConnectionFailed | LimitExceeded, nonce: str) -> ProbeAnswer:
    """Return the readings that arrived complete.

    Raises:
        ObservationError: none did: `error` itself.
    """
    try:
        answer = parse_answer(error.partial, nonce)
    except AnswerUnusable:
        raise error from None
    if not answer.readings:
        raise error
    return answer if answer.cut is None else replace(answer, cut=f"{answer.cut} ({error})")


def _complaint(answer: CommandResult) -> str:
    complaint = printable(answer.stderr)
    status = "no exit status" if answer.exit_status is None else f"exit status {answer.exit_status}"
    return f" ({status}{': ' if complaint else ''}{complaint})"


def _level(target: Target, readings: Mapping[str, Reading]) -> TargetLevel:
    """Return the level of a target; `auto` stays where its CPUs could not be read."""
    cpuinfo = readings.get(CPUINFO)
    if target.level is not TargetLevel.AUTO or cpuinfo is None or cpuinfo.status is not Status.OK:
        return target.level
    return TargetLevel.L1 if is_guest(readings) else TargetLevel.L0
