"""Ways to targets. The only package that imports Testinfra and paramiko."""

import testinfra.host

from nested_kvm.connection.connection import Answer, Connection, Settings, Stream, StreamConnection
from nested_kvm.connection.libvirt_tunnel import LibvirtTunnel, libvirt_tunnel
from nested_kvm.connection.opening import AnyConnection, check_settings, connect, connect_by_agent, connect_limit
from nested_kvm.connection.passphrases import unlock_keys
from nested_kvm.connection.ssh_ways import SshWays

Host = testinfra.host.Host
"""Testinfra's view of a target."""

__all__ = [
    "Answer",
    "AnyConnection",
    "Connection",
    "Host",
    "LibvirtTunnel",
    "Settings",
    "SshWays",
    "Stream",
    "StreamConnection",
    "check_settings",
    "connect",
    "connect_by_agent",
    "connect_limit",
    "libvirt_tunnel",
    "unlock_keys",
]
