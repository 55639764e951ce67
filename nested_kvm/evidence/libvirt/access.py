"""How a target's libvirt is reached, and what it answers."""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.parse import urlsplit

from nested_kvm.connection import Connection, Settings, libvirt_tunnel
from nested_kvm.connection.ssh.connection import SshConnection
from nested_kvm.errors import NestedKvmError
from nested_kvm.evidence.bundle import LibvirtAnswer
from nested_kvm.evidence.libvirt.rpc import ask_libvirt, has_libvirt_python
from nested_kvm.evidence.libvirt.virsh import answer_of_virsh
from nested_kvm.evidence.reading import Reading
from nested_kvm.inventory.target import Target


class Access(Enum):
    """How libvirt is queried; the value is the probe's argument for when to query virsh as well."""

    DIRECT = "never"
    """By libvirt-python, directly: this machine's own libvirt, or a URI that names its host."""
    TUNNEL = "fallback"
    """By libvirt-python, through the SSH connection that carries the probe."""
    VIRSH = "always"
    """By the probe's `virsh -r`, where neither of the others can connect."""

    @property
    def virsh(self) -> str:
        """The probe's argument for virsh."""
        return self.value


def choose_access(target: Target, connection: Connection) -> Access:
    """Choose the access that needs the least on the target."""
    if not has_libvirt_python() or target.libvirt is None:
        return Access.VIRSH
    if _names_a_host(target.libvirt) or (target.address is not None and target.address.is_local):
        return Access.DIRECT
    return Access.TUNNEL if isinstance(connection, SshConnection) else Access.VIRSH


def query_libvirt(
    uri: str, access: Access, connection: Connection, readings: Mapping[str, Reading], settings: Settings
) -> LibvirtAnswer:
    """Query a target's libvirt for its domains. A failure is part of the answer: nothing is raised."""
    by_virsh = answer_of_virsh(readings, uri)
    if by_virsh is not None:
        return by_virsh
    try:
        if access is Access.DIRECT:
            return _within(settings.probe_timeout, uri)
        if isinstance(connection, SshConnection):
            return _through_tunnel(connection, uri)
    except NestedKvmError as error:
        return LibvirtAnswer(uri, "libvirt", not_asked=str(error))
    return LibvirtAnswer(uri, "virsh", not_asked="the probe's answer ended before virsh was queried")


def _names_a_host(uri: str) -> bool:
    parts = urlsplit(uri)
    return bool(parts.netloc) or "+" in parts.scheme


def _through_tunnel(connection: SshConnection, uri: str) -> LibvirtAnswer:
    with libvirt_tunnel(connection, uri) as tunnel:
        answer = ask_libvirt(tunnel.uri, uri)
        if answer.refusal is None:
            return answer
        if not connection.is_alive:
            return LibvirtAnswer(uri, "libvirt", not_asked=f"the connection broke: {answer.refusal}")
        complaint = tunnel.complaint()
        return replace(answer, refusal=f"{answer.refusal} ({complaint})") if complaint else answer


def _within(seconds: float, uri: str) -> LibvirtAnswer:
    """Query in a thread that may be abandoned: a call into libvirt cannot be interrupted."""
    answers: SimpleQueue[LibvirtAnswer] = SimpleQueue()
    Thread(target=lambda: answers.put(ask_libvirt(uri)), name=f"libvirt {uri}", daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except Empty:
        return LibvirtAnswer(uri, "libvirt", refusal=f"no answer within {seconds:g} s")
