"""Remediation inside a guest."""

import shlex

from nested_kvm.errors import ObservationError
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import device


def _account(subject: Subject) -> str:
    try:
        account = subject.machine.kvm_access.account
    except ObservationError:
        account = None
    return "ACCOUNT" if account is None else account.name


def _is_roots_group(subject: Subject) -> bool:
    try:
        return subject.machine.kvm_device.group == 0
    except ObservationError:
        return False


def _is_open_to_no_one(subject: Subject) -> bool:
    try:
        return subject.machine.kvm_device.is_open_to_no_one
    except ObservationError:
        return False


def _is_container(subject: Subject) -> bool:
    try:
        return bool(subject.machine.confinement.reason)
    except ObservationError:
        return False


def permit_account(subject: Subject, finding: Finding) -> list[str]:
    """Add the account to the device's group; if that is root, first set the group of udev's default rule."""
    if _is_container(subject):
        return [
            "# a container: hand /dev/kvm to it on the machine that it runs on (docker run --device /dev/kvm;",
            "# incus config device add NAME kvm unix-char source=/dev/kvm gid=GID), with its group's gid; then:",
            "ls -l /dev/kvm",
        ]
    if _is_open_to_no_one(subject):
        return device.close_device(subject, finding)
    name = shlex.quote(_account(subject))
    regroup = device.close_device(subject, finding) if _is_roots_group(subject) else []
    return [
        *regroup,
        f'usermod -aG "$(stat -c %G /dev/kvm)" {name}',
        f"# running processes keep their groups: log {name} in again and restart its services",
        f"su -s /bin/sh -c 'test -r /dev/kvm && test -w /dev/kvm && echo permitted' {name}",
    ]
