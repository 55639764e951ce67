"""The hosts: one sshd for all addresses, seen through a round trip, on a machine that looks like a KVM host.

    python -m bench.estate HOSTS RTT_MS

says `ready` once they answer, and ends them when its standard input ends. A separate process, because the measuring
one must stay small: a child is never charged less memory than its parent had.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.endpoints import DIRECT_PORT, PROXY_PORT, Sites, addresses
from bench.errors import BenchError
from bench.hosts_cpu import HOSTS_PIDS, PROXY_PIDS
from bench.machine import PROGRAMS, write_machine
from bench.namespace import WORK
from bench.options import ROOT
from tests.support.sshd import Sshd, public

_SETTINGS = ("MaxStartups 20000", "PerSourceMaxStartups none", "MaxSessions 100", "Subsystem sftp internal-sftp")


def bring_up(hosts: int, rtt_ms: float) -> None:
    """Start sshd, and the proxy where there is a round trip.

    Raises:
        BenchError: the proxy does not start.
    """
    folder = WORK / "sshd"
    folder.mkdir()
    sshd = Sshd(folder, host="0.0.0.0", port=DIRECT_PORT, settings=_SETTINGS, prelude=write_machine(WORK / "machine"))  # noqa: S104 - a network namespace that has loopback alone
    for name, script in PROGRAMS.items():
        sshd.add_program(name, script)
    sshd.start()
    shutil.copy(sshd.identity, WORK / "identity")
    _introduce(Sites(WORK, addresses(hosts), rtt_ms), public(sshd.keys[0]))
    proxy = [_start_proxy(rtt_ms)] if rtt_ms else []
    (WORK / HOSTS_PIDS).write_text(f"{_only_child(sshd.pid)}")
    (WORK / PROXY_PIDS).write_text(" ".join(map(str, proxy)))


def _only_child(pid: int) -> int:
    """Return the process that unshare became the parent of: the first in the new namespace, which is sshd."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def _introduce(sites: Sites, key: str) -> None:
    """Write what a user has: known_hosts and ssh_config, for the way through the proxy and for the one past it."""
    for direct in (False, True):
        port = sites.port(direct=direct)
        names = (host if port == PROXY_PORT else f"[{host}]:{port}" for host in sites.hosts)
        sites.known_hosts(direct=direct).write_text("".join(f"{name} {key}\n" for name in names))
        lines = [f"Port {port}", "User root", f"IdentityFile {WORK}/identity", "IdentitiesOnly yes"]
        lines += [f"UserKnownHostsFile {sites.known_hosts(direct=direct)}", "GlobalKnownHostsFile none"]
        lines.append("StrictHostKeyChecking yes")
        sites.ssh_config(direct=direct).write_text("Host *\n" + "".join(f"  {line}\n" for line in lines))


def _start_proxy(rtt_ms: float) -> int:
    command = [sys.executable, "-m", "bench.delay", str(PROXY_PORT), str(DIRECT_PORT), str(rtt_ms)]
    proxy = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if proxy.stdout is None or proxy.stdout.readline() != b"ready\n":
        raise BenchError("the proxy did not start: its own words are above")
    return proxy.pid


def main(hosts: int, rtt_ms: float) -> None:
    """Serve until the hosts are no longer needed."""
    try:
        bring_up(hosts, rtt_ms)
    except (BenchError, AssertionError) as error:
        log = WORK / "sshd" / "sshd.log"
        said = log.read_text().strip().splitlines()[-1:] if Path(log).exists() else []
        sys.exit(f"bench: {': '.join([str(error), *said])}")
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
