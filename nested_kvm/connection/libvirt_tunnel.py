"""Carries libvirt's RPC over an existing connection.

A client of libvirt is given a socket on this machine. Behind it, one program on the target talks to
libvirt's daemon, as behind libvirt's own `qemu+ssh://` (virnetclient.c, virNetClientSSHHelperCommand):
virt-ssh-helper(8) since libvirt 6.8, before that `nc` on the daemon's socket.
"""

import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from nested_kvm.connection.base import Stream, StreamConnection
from nested_kvm.connection.deadline import Deadline, closing_at
from nested_kvm.errors import ConnectionFailed, UsageError
from nested_kvm.util.text import printable

READ_ONLY_SOCKET = "/var/run/libvirt/libvirt-sock-ro"
READ_WRITE_SOCKET = "/var/run/libvirt/libvirt-sock"

_CHUNK = 32 * 1024

# Netcats differ: some need -q 0 to end with their input, the others do not know it.
_PROGRAM = """\
PATH=$PATH:/usr/sbin:/sbin
if command -v virt-ssh-helper >/dev/null 2>&1; then exec virt-ssh-helper {read_only}{uri}; fi
if nc -q 2>&1 | grep 'requires an argument' >/dev/null; then exec nc -q 0 -U {socket}; fi
exec nc -U {socket}"""


class LibvirtTunnel:
    """A tunnel to a target's libvirt. It serves one client: libvirt opens one connection for all its calls."""

    def __init__(self, uri: str, listener: socket.socket, stream: Stream) -> None:
        self.uri = uri
        """What libvirt is to open, read-only if the tunnel is."""
        self._listener = listener
        self._stream = stream
        self._client: socket.socket | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def complaint(self) -> str:
        """Return the target program's standard error in one line: why libvirt's call failed."""
        return printable(self._stream.stderr())

    def close(self) -> None:
        """Close both sides, also while they are in use. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            client = self._client
        for end in (self._listener, client):
            if end is not None:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._stream.close()

    def join(self) -> None:
        """Wait for the threads of a closed tunnel, and close its sockets."""
        for thread in self._threads:
            thread.join()
        self._listener.close()
        if self._client is not None:
            self._client.close()

    def _serve(self) -> None:
        """Accept one client, and copy between it and the program until either ends."""
        with suppress(OSError):
            client, _ = self._listener.accept()
            if self._takes(client):
                upstream = threading.Thread(target=self._carry, args=(client.recv, self._stream.sendall), daemon=True)
                self._threads.append(upstream)
                upstream.start()
                self._carry(self._stream.recv, client.sendall)

    def _takes(self, client: socket.socket) -> bool:
        with self._lock:
            self._client = client
            return not self._closed

    def _carry(self, receive: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
        with suppress(OSError):
            while data := receive(_CHUNK):
                send(data)
        self.close()


@contextmanager
def libvirt_tunnel(
    connection: StreamConnection, uri: str = "qemu:///system", *, read_only: bool = True
) -> Iterator[LibvirtTunnel]:
    """Make a target's libvirt reachable by `tunnel.uri` while the block runs.

    Everything is closed when the connection's `probe_timeout` is over, so that a call into libvirt fails then
    instead of waiting for ever. The socket is in a private directory, and is removed.

    Args:
        connection: to the target; the tunnel is one execution on it.
        uri: the URI of libvirt on the target, without a host: `qemu:///system`, `test:///default`.
        read_only: reach libvirt's read-only service.

    Raises:
        ConnectionFailed: the connection broke, or the target refused the execution.
        LimitExceeded: the target did not start the program in time.
        UsageError: the URI names a host, or has no valid driver.
    """
    with TemporaryDirectory(prefix="libvirt-") as directory, socket.socket(socket.AF_UNIX) as listener:
        path = Path(directory, "socket")
        local_uri = _local_uri(uri, path)
        try:
            listener.bind(str(path))
        except OSError as error:
            raise ConnectionFailed(f"{connection.name}: no socket can be made at {path} ({error})") from None
        listener.listen(1)
        deadline = Deadline(connection.probe_timeout)
        tunnel = LibvirtTunnel(local_uri, listener, connection.open_stream(_program(uri, read_only=read_only)))
        try:
            with closing_at(deadline, tunnel.close):
                yield tunnel
        finally:
            tunnel.close()
            tunnel.join()


def _local_uri(uri: str, path: Path) -> str:
    driver, separator, rest = uri.partition(":///")
    if not separator or not driver.isalnum():
        raise UsageError(f"{uri!r} is not a libvirt URI of the form qemu:///system")
    return f"{driver}+unix:///{rest}{'&' if '?' in rest else '?'}socket={quote(str(path))}"


def _program(uri: str, *, read_only: bool) -> str:
    return _PROGRAM.format(
        read_only="-r " if read_only else "",
        uri=shlex.quote(uri),
        socket=READ_ONLY_SOCKET if read_only else READ_WRITE_SOCKET,
    )
