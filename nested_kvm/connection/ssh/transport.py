"""Opens an authenticated SSH transport to an address, within one deadline."""

import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import paramiko
from paramiko.ssh_exception import PartialAuthentication

from nested_kvm.connection.deadline import Deadline
from nested_kvm.connection.ssh.credentials import Credentials
from nested_kvm.connection.ssh.host_key_check import Trust
from nested_kvm.connection.ssh.paramiko_channel import TRANSPORT_ERRORS, Carrier, Transport
from nested_kvm.errors import ConnectionFailed, LoginRejected, ObservationError
from nested_kvm.util.text import plural, printable

_SHORTEST_TRY = 0.001
_MARGIN = 5.0
_LOOKS = 0.5
"""Seconds after which a thread that waits for a step looks whether the connection has ended."""
_OPEN_CONNECT_FAILED, _OPEN_RESOURCE_SHORTAGE = 2, 4  # RFC 4254, section 5.1
_UNNAMED_REFUSAL = "Unable to open channel."
"""What paramiko raises for the second of two refusals at once: it keeps one reason for all threads."""
_AUTHENTICATING = frozenset({"aes128-gcm@openssh.com", "aes256-gcm@openssh.com"})
_BANNER = "Error reading SSH protocol banner"
"""paramiko puts it before every reason, without a space."""

# Its messages are in our errors; by default they would go to stderr, with tracebacks.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class ConnectionDropped(ConnectionFailed):
    """The connection was refused, or closed before the key exchange: a second try may succeed."""


class StartupRefused(ConnectionDropped):
    """The connection was closed before SSH began: what sshd's MaxStartups does to one too many."""


def reason(error: Exception | None) -> str:
    """Return in a few words why a connection, or one of its channels, broke."""
    if isinstance(error, paramiko.ChannelException):
        return printable(error.text)
    return printable(error or "") or "no reason given"


def is_channel_refusal(error: Exception) -> bool:
    """Return whether a server refused a channel for a reason that may pass: it has as many as it allows, say."""
    if isinstance(error, paramiko.ChannelException):
        return error.code in {_OPEN_CONNECT_FAILED, _OPEN_RESOURCE_SHORTAGE}
    return isinstance(error, paramiko.SSHException) and str(error) == _UNNAMED_REFUSAL


def dial(host: str, port: int, deadline: Deadline, where: str) -> socket.socket:
    """Open a TCP connection to the first of the host's addresses that answers.

    Raises:
        ConnectionFailed: none does, or the name cannot be resolved.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ConnectionFailed(f"{where}: the host name does not resolve ({error})") from None
    problems: dict[str, None] = {}
    kind: type[ConnectionFailed] = ConnectionDropped
    for index, (*_, address) in enumerate(found):
        share = max(deadline.remaining / (len(found) - index), _SHORTEST_TRY)
        try:
            return _undelayed(socket.create_connection((str(address[0]), port), timeout=share))
        except TimeoutError:
            problems[f"no answer within {deadline.seconds:g} s (--connect-timeout)"] = None
            kind = ConnectionFailed
        except ConnectionError as error:
            problems[error.strerror or str(error)] = None
        except OSError as error:
            problems[error.strerror or str(error)] = None
            kind = ConnectionFailed
    raise kind(f"{where}: unreachable ({', '.join(problems)}): is it up, and is the port right?")


def _undelayed(sock: socket.socket) -> socket.socket:
    """Send small packets at once: SSH's are small, and each waits for an answer (Nagle's algorithm, tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def agree_on_keys(sock: Carrier, trust: Trust, deadline: Deadline, where: str) -> Transport:
    """Exchange keys over `sock`, and verify the host.

    Raises:
        ConnectionFailed: there is no SSH server, or it does not answer in time.
        HostKeyRejected: its key is not trusted.
    """
    transport = Transport(sock)
    with _closed_on_error(transport):
        _agree(transport, trust, deadline, where)
    return transport


def log_in(transport: Transport, user: str, credentials: Credentials, deadline: Deadline, where: str) -> None:
    """Offer every key until one is accepted.

    Raises:
        LoginRejected: none is.
        ConnectionFailed: the server does not answer in time, or the connection breaks.
    """
    with _closed_on_error(transport):
        _Login(transport, user, deadline, where).offer_all(credentials)


@contextmanager
def _closed_on_error(transport: Transport) -> Iterator[None]:
    try:
        yield
    except ObservationError:
        transport.close()
        raise


def _agree(transport: Transport, trust: Trust, deadline: Deadline, where: str) -> None:
    # paramiko's own limits must not end it first: they say less about why.
    transport.banner_timeout = transport.handshake_timeout = deadline.remaining + _MARGIN
    algorithms = transport.get_security_options()
    algorithms.key_types = trust.prefer_known_types(algorithms.key_types)
    algorithms.ciphers = cheapest_first(algorithms.ciphers)
    transport.wants_certificate = bool(trust.authorities)
    done = threading.Event()
    transport.start_client(event=done)
    _wait(done, transport, deadline, f"{where}: it does not complete SSH's key exchange")
    if not transport.is_active() or transport.host_key is None:
        raise _no_agreement(transport.get_exception(), where)
    trust.check(transport.host_key, where)


def cheapest_first(ciphers: Sequence[str]) -> list[str]:
    """Sort ciphers: first those that authenticate what they encrypt, where the server has them too.

    With any other, each packet also has a MAC, which paramiko compares byte by byte in Python.
    """
    return sorted(ciphers, key=lambda name: name not in _AUTHENTICATING)


def _no_agreement(error: Exception | None, where: str) -> ConnectionFailed:
    text = printable(error or "").removeprefix(_BANNER)
    if error is None or isinstance(error, EOFError | ConnectionError) or not text or "Errno" in text:
        return StartupRefused(
            f"{where}: it closed the connection before the SSH key exchange: "
            "is it an SSH port, or does sshd's MaxStartups drop connections?"
        )
    return ConnectionFailed(f"{where}: the SSH key exchange failed ({text})")


def _wait(done: threading.Event, transport: Transport, deadline: Deadline, complaint: str) -> None:
    """Wait until a step is done or the connection ends; `done` is not set by every such end."""
    while not done.wait(min(_LOOKS, deadline.remaining)) and transport.is_active():
        if deadline.expired:
            raise ConnectionFailed(f"{complaint} within {deadline.seconds:g} s (--connect-timeout)")


def _describe(key: paramiko.PKey) -> str:
    certificate = "the certificate of " if key.public_blob is not None else ""
    return f"{certificate}{key.get_name()} {key.fingerprint}"


@dataclass
class _Login:
    transport: Transport
    user: str
    deadline: Deadline
    where: str
    refused: list[str] = field(default_factory=list)

    def offer_all(self, credentials: Credentials) -> None:
        with closing(credentials.keys()) as keys:
            for key in keys:
                if self._is_accepted(key):
                    return
                self.refused.append(_describe(key))
        raise LoginRejected(f"{self.where}: {self._refusal(credentials.problems)}")

    def _is_accepted(self, key: paramiko.PKey) -> bool:
        done = threading.Event()
        try:
            self.transport.auth_publickey(self.user, key, event=done)
        except TRANSPORT_ERRORS as broken:
            raise self._broken(broken) from None
        _wait(
            done,
            self.transport,
            self.deadline,
            f"{self.where}: it does not decide on the login of {self.user}",
        )
        if self.transport.is_authenticated():
            return True
        error = self.transport.get_exception()
        if isinstance(error, PartialAuthentication | paramiko.BadAuthenticationType):
            methods = printable(", ".join(error.allowed_types))
            raise LoginRejected(f"{self.where}: a key alone does not let {self.user} in: it wants {methods}")
        if not self.transport.is_active():
            raise self._broken(error)
        return False

    def _broken(self, error: Exception | None) -> ConnectionFailed:
        if self.refused:
            return LoginRejected(
                f"{self.where}: it hung up after refusing {plural(len(self.refused), 'key')} of {self.user} "
                f"({reason(error)}): name the right one by IdentityFile and IdentitiesOnly, "
                "or by --ssh-identity-file"
            )
        return ConnectionFailed(f"{self.where}: the connection broke at the login of {self.user} ({reason(error)})")

    def _refusal(self, problems: list[str]) -> str:
        notes = f" ({'; '.join(problems)})" if problems else ""
        if not self.refused:
            return (
                f"there is no key to log in with as {self.user}{notes}: "
                "name one by --ssh-identity-file, or start an agent"
            )
        return (
            f"it refuses every key of user {self.user}: {', '.join(self.refused)}{notes}. "
            "Add one to authorized_keys there, or name another by --ssh-identity-file"
        )
