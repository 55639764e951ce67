"""Machines of which the tests know what they are: an sshd whose /proc/cpuinfo is that of a guest."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.sshd import Sshd

CPU = """\
processor : {number}
vendor_id : AuthenticAMD
cpu family : 25
model : 1
model name : AMD EPYC-Milan Processor
flags : fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat hypervisor lahf_lm{flag}
"""


def with_cpuinfo(text: str) -> str:
    """Return the prelude of an sshd on a machine with that /proc/cpuinfo."""
    return f"cat >/run/cpuinfo <<'END'\n{text}\nEND\nmount --bind /run/cpuinfo /proc/cpuinfo\n"


WITHOUT_KVM = """\
mkdir /run/module
for path in /sys/module/*; do
    case $path in */kvm*) ;; *) mkdir "/run/module/${path##*/}" ;; esac
done
mount --bind /run/module /sys/module
"""
"""The prelude of an sshd on a machine without any module of KVM, whatever the kernel has loaded that it runs on."""
PLAIN_GUEST = with_cpuinfo("\n".join(CPU.format(number=number, flag="") for number in range(2))) + WITHOUT_KVM
"""An ordinary guest: it complies where nested is forbidden, and does not where it is required."""


def ssh_config(directory: Path, machines: Mapping[str, Sshd], *, known: Sequence[str] | None = None) -> Path:
    """Write the ssh_config by which `ssh://<name>` leads to each machine; `known`: whose host keys are known."""
    lines = []
    known_hosts = directory / "known_hosts"
    known_hosts.write_text("".join(machines[name].known_hosts() for name in (machines if known is None else known)))
    for name, machine in machines.items():
        lines += [f"Host {name}", "HostName 127.0.0.1", f"Port {machine.port}", f"User {machine.user}"]
        lines.append(f"IdentityFile {machine.identity}")
    lines += ["Host *", f"UserKnownHostsFile {known_hosts}", "GlobalKnownHostsFile none", "IdentitiesOnly yes"]
    path = directory / "ssh_config"
    path.write_text("\n".join(lines) + "\n")
    return path
