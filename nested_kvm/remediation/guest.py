"""What mends a guest seen from inside."""

import shlex

from nested_kvm.errors import ObservationError
from nested_kvm.remediation import host
from nested_kvm.subject import Subject
from nested_kvm.verdict import Finding


def let_account_in(subject: Subject, finding: Finding) -> list[str]:
    """Add the account to the device's group; where that is root's, give the device the group of udev's own rule."""
    try:
        account, group = subject.machine.kvm_access.account, subject.machine.kvm_device.group
    except ObservationError:
        return []
    name = shlex.quote(account.name if account is not None else "ACCOUNT")
    regroup = host.close_device(subject, finding) if group == 0 else []
    return [
        *regroup,
        f'usermod -aG "$(stat -c %G /dev/kvm)" {name}',
        f"# its running programs keep their groups: log {name} in anew, restart its services",
        f"su -s /bin/sh -c 'test -r /dev/kvm && test -w /dev/kvm && echo may' {name}",
    ]
