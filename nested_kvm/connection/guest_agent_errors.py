"""Explains why a guest's agent cannot be used, and the fix, from the messages of libvirt and qemu-ga."""

import re
from typing import Final

from nested_kvm.errors import ConnectionFailed, NotAllowed, ObservationError

_HOW_TO_ALLOW: Final = (
    "allow guest-exec and guest-exec-status in its /etc/qemu/qemu-ga.conf (block-rpcs, allow-rpcs) "
    "or /etc/sysconfig/qemu-ga (FILTER_RPC_ARGS, BLACKLIST_RPC), then: systemctl restart qemu-guest-agent"
)
_PREFIX: Final = re.compile(r"error: (internal error: unable to execute QEMU agent command '[^']*': )?")
_DISABLED: Final = re.compile(r"has been disabled|has not been found|CommandNotFound", re.IGNORECASE)

_REMEDIES: Final = (
    (
        re.compile("agent is not connected|agent is not responding|agent is not available", re.IGNORECASE),
        "its guest agent does not answer",
        "Install it in the guest and start it: systemctl enable --now qemu-guest-agent",
    ),
    (
        re.compile("agent is not configured", re.IGNORECASE),
        "its domain has no channel for a guest agent",
        (
            "Add one, then shut the guest down and start it: virt-xml {domain} --add-device "
            "--channel unix,target.type=virtio,target.name=org.qemu.guest_agent.0"
        ),
    ),
    (re.compile("domain is not running", re.IGNORECASE), "it is not running", "Start it: virsh start {domain}"),
    (
        re.compile("failed to get domain|domain not found", re.IGNORECASE),
        "its host has no such domain",
        "Give its libvirt name in the inventory as domain: NAME; virsh list --all shows it",
    ),
    (
        re.compile("authentication|permission denied|access denied|read.?only", re.IGNORECASE),
        "libvirt does not let this user query guest agents",
        "Log in as root, give --sudo, or add the user to the group libvirt on the host",
    ),
    (
        re.compile("virsh: .*not found", re.IGNORECASE),
        "its host has no virsh, which guest agents are queried with",
        "Install libvirt-clients there",
    ),
)


def agent_refusal(name: str, host: str, domain: str, complaint: str) -> ObservationError:
    """Make an error of virsh's message.

    Args:
        name: the guest's name in the inventory.
        host: the name of its host.
        domain: the name of its domain, quoted for a shell.
        complaint: virsh's message, safe to show.
    """
    complaint = _PREFIX.sub("", complaint, count=1)
    if _DISABLED.search(complaint):
        return NotAllowed(f"{name}: its guest agent runs no commands: {_HOW_TO_ALLOW} ({complaint})")
    for pattern, meaning, remedy in _REMEDIES:
        if pattern.search(complaint):
            return ConnectionFailed(f"{name}: {meaning} ({complaint}). {remedy.format(domain=domain)}")
    return ConnectionFailed(f"{name}: {host} cannot query its guest agent ({complaint})")
