"""The floor: the minimum that anything that inspects many hosts over SSH has to do.

    python -m bench.floor KNOWN_HOSTS IDENTITY PORT FORKS HOSTS_FILE

Connects to each host, verifies its key, logs in, runs `true` and closes: paramiko and threads, no code of the audit.
"""

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import paramiko

SECONDS = 60.0


def visit(host: str, *, port: int, known: paramiko.HostKeys, identity: paramiko.PKey) -> int:
    """Return the exit status of `true` there."""
    keys = known.lookup(host if port == paramiko.config.SSH_PORT else f"[{host}]:{port}")
    if keys is None:
        raise paramiko.SSHException(f"{host}: no key is known")
    sock = socket.create_connection((host, port), timeout=SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with paramiko.Transport(sock) as transport:
        transport.connect(hostkey=next(iter(keys.values())), username="root", pkey=identity)
        with transport.open_session(timeout=SECONDS) as channel:
            channel.exec_command("true")
            return channel.recv_exit_status()


def main(known_hosts: str, identity: str, port: str, forks: str, hosts_file: str) -> int:
    """Visit all hosts, `forks` at once."""
    known = paramiko.HostKeys(known_hosts)
    key = paramiko.Ed25519Key.from_private_key_file(identity)
    hosts = Path(hosts_file).read_text().split()
    with ThreadPoolExecutor(int(forks)) as workers:
        statuses = list(workers.map(partial(visit, port=int(port), known=known, identity=key), hosts))
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
