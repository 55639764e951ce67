"""A guest that runs a real qemu-ga, on a socket of this machine instead of its own virtio port."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.guests import PLAIN_GUEST
from tests.support.needs import program
from tests.support.sshd import Sshd, SshdFactory

VIRSH = """\
#!/usr/bin/env python3
import json, os, pathlib, socket, sys

# virsh -q -c URI qemu-agent-command --timeout SECONDS -- DOMAIN COMMAND
arguments = sys.argv[1:]
assert arguments[:2] == ["-q", "-c"] and arguments[3:5] == ["qemu-agent-command", "--timeout"], arguments
assert arguments[6] == "--" and len(arguments) == 9, arguments
domain, command = arguments[7:]
path = pathlib.Path("{directory}", domain)
if not path.exists():
    sys.exit("error: failed to get domain '%s'" % domain)
if not path.is_socket():
    sys.exit(path.read_text())
with socket.socket(socket.AF_UNIX) as agent:
    agent.connect(os.fspath(path))
    agent.sendall(command.encode() + b"\\n")
    answer = agent.makefile().readline()
error = json.loads(answer).get("error")
if error:
    name = json.loads(command)["execute"]
    sys.exit("error: internal error: unable to execute QEMU agent command '%s': %s" % (name, error["desc"]))
print(answer)
"""
"""Stands for virsh and libvirt: takes the same words, and gives qemu-ga's answer as libvirt words it."""


@dataclass(frozen=True)
class AgentSite:
    """One host, and its guests' sockets by their domains' names."""

    host: Sshd
    directory: Path

    def add_refusal(self, domain: str, complaint: str) -> None:
        """Add a domain of which virsh says nothing else."""
        (self.directory / domain).write_text(f"error: {complaint}")


def start_site(start_sshd: SshdFactory, **options: object) -> AgentSite:
    host = start_sshd(**options)
    directory = host.directory / "agents"
    directory.mkdir(mode=0o755)
    host.add_program("virsh", VIRSH.replace("{directory}", str(directory)))
    return AgentSite(host, directory)


def start_guest(start_sshd: SshdFactory, site: AgentSite, domain: str, *options: str) -> Sshd:
    """Start a guest whose agent serves `domain`; its sshd is another way to the same guest."""
    path = site.directory / domain
    agent = [program("qemu-ga"), "-d", "-m", "unix-listen", "-p", path, "-t", "/run", "-f", "/run/qga.pid", *options]
    guest = start_sshd(prelude=PLAIN_GUEST + " ".join(map(str, agent)))
    until = time.monotonic() + 10
    while not path.is_socket() and time.monotonic() < until:
        time.sleep(0.01)
    path.chmod(0o777)
    return guest
