"""Remediation for /dev/kvm: that it is there, and who may open it."""

from nested_kvm.errors import ObservationError
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation.names import module_of


def _is_loaded(subject: Subject) -> bool:
    try:
        return subject.machine.kvm_module.is_loaded
    except ObservationError:
        return True


def _is_container(subject: Subject) -> bool:
    try:
        return bool(subject.machine.confinement.reason)
    except ObservationError:
        return False


def create_device(subject: Subject, _finding: Finding) -> list[str]:
    """Load the module, which creates the device; move aside what is in its place."""
    if not _is_loaded(subject):
        return [
            f"# /dev/kvm comes with {module_of(subject)}, which is not loaded: see the finding about the module",
            "ls -l /dev/kvm  # a node without KVM in the kernel is no device",
        ]
    if _is_container(subject):
        return [
            "# this looks like a container: hand the device to it where it is started (docker and podman:",
            "# --device=/dev/kvm; LXD and Incus: a unix-char device; Kubernetes: a device plugin); then verify here:",
            "ls -l /dev/kvm  # crw-rw---- root kvm 10, 232",
        ]
    return [
        "ls -l /dev/kvm  # if it exists and is not 10, 232: mv /dev/kvm /dev/kvm.aside",
        "udevadm trigger --name-match=kvm --settle  # the module is loaded; where no udev creates the device, mknod:",
        "[ -c /dev/kvm ] || { mknod -m 660 /dev/kvm c 10 232 && chgrp kvm /dev/kvm; }",
        "ls -l /dev/kvm  # crw-rw---- root kvm 10, 232",
    ]


def close_device(_subject: Subject, _finding: Finding) -> list[str]:
    """Set the mode and group of udev's default rule for /dev/kvm."""
    return [
        'printf \'KERNEL=="kvm", GROUP="kvm", MODE="0660"\\n\' > /etc/udev/rules.d/99-kvm-group.rules',
        "udevadm control --reload && udevadm trigger --name-match=kvm",
        "ls -l /dev/kvm",
    ]


def keep_device_mode(_subject: Subject, _finding: Finding) -> list[str]:
    """Have the account in the device's group, which a rule gives access, instead of a mode that udev takes back."""
    return [
        "grep -rn 'KERNEL==\"kvm\"' /etc/udev/rules.d /usr/lib/udev/rules.d  # the rules; the last one counts",
        "# either add the accounts that run VMs to the device's group: usermod -aG kvm ACCOUNT; or, to keep the mode:",
        "# your own rule in /etc/udev/rules.d/99-kvm.rules; then:",
        "udevadm control --reload && udevadm trigger --name-match=kvm --settle && ls -l /dev/kvm",
    ]
