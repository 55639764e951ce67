"""Starts a tiny test VM (L2) in a guest, over the connection that carried the probe: only with `--active`."""

import secrets
from collections.abc import Mapping
from typing import Final

from nested_kvm.connection import Connection, Settings
from nested_kvm.errors import ObservationError
from nested_kvm.evidence.l2 import BY_QEMU, ON_XEN, boot_arguments, boot_script
from nested_kvm.evidence.layer import layer_of_readings
from nested_kvm.evidence.probe.answer import parse_answer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.architecture import X86
from nested_kvm.model.layer import Layer
from nested_kvm.model.policy import Nested

DEVICE: Final = "/dev/kvm"
LIMIT: Final = 60
"""Seconds that an L2 may take at most, less with a short `--probe-timeout`: up to two are started, one by one."""


def boot_l2(
    target: Target, connection: Connection, settings: Settings, readings: Mapping[str, Reading]
) -> dict[str, Reading]:
    """Start an L2 where the policy requires nesting, and return the readings. Nothing is raised."""
    if target.level is not TargetLevel.L1 or target.policy.nested is not Nested.REQUIRED or not _is_x86(readings):
        return {}
    if layer_of_readings(readings) is Layer.XEN and not settings.active_on_xen:
        return {BY_QEMU: Reading(BY_QEMU, Status.ABSENT, ON_XEN)}
    device = readings.get(DEVICE)
    if device is not None and device.status in {Status.ABSENT, Status.DANGLING}:
        return {BY_QEMU: Reading(BY_QEMU, Status.ABSENT, f"no L2 can be started: there is no {DEVICE}")}
    nonce = secrets.token_hex(16)
    seconds = max(1, int(min(LIMIT, settings.probe_timeout / 2)))
    try:
        answer = parse_answer(connection.execute(boot_script(), *boot_arguments(nonce, seconds)).stdout, nonce)
    except ObservationError as error:
        return {BY_QEMU: Reading(BY_QEMU, Status.UNREADABLE, str(error))}
    if answer.cut is not None or BY_QEMU not in answer.readings:
        return {BY_QEMU: Reading(BY_QEMU, Status.UNREADABLE, f"the answer ended in {answer.cut or 'nothing'}")}
    return answer.readings


def _is_x86(readings: Mapping[str, Reading]) -> bool:
    machine = readings.get("uname -m")
    return machine is not None and machine.text.strip() in X86.machines
