"""Connections to targets. The only package that imports Testinfra and paramiko."""

import testinfra.host

from nested_kvm.connection.base import CommandResult, Connection, Settings, Stream, StreamConnection
from nested_kvm.connection.connect import check_settings, connect, connect_by_agent, connect_limit
from nested_kvm.connection.foreign import ForeignConnection, foreign_connection
from nested_kvm.connection.libvirt_tunnel import LibvirtTunnel, libvirt_tunnel
from nested_kvm.connection.ssh.connector import SshConnector
from nested_kvm.connection.ssh.passphrases import unlock_keys
from nested_kvm.connection.ssh.transport import StartupRefused

Host = testinfra.host.Host
"""Testinfra's view of a target."""

__all__ = [
    "CommandResult",
    "Connection",
    "ForeignConnection",
    "Host",
    "LibvirtTunnel",
    "Settings",
    "SshConnector",
    "StartupRefused",
    "Stream",
    "StreamConnection",
    "check_settings",
    "connect",
    "connect_by_agent",
    "connect_limit",
    "foreign_connection",
    "libvirt_tunnel",
    "unlock_keys",
]
