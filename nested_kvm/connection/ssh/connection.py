"""A connection by SSH, within this process: for the probe, for libvirt and for Testinfra."""

import shlex
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import paramiko
import testinfra.host
from testinfra.backend.base import CommandResult as TestinfraResult
from typing_extensions import override

from nested_kvm.connection.base import CommandResult, Connection, Settings
from nested_kvm.connection.deadline import Deadline, closing_at
from nested_kvm.connection.output import BoundedOutput
from nested_kvm.connection.plain_backend import PlainBackend
from nested_kvm.connection.shell_command import ONE_COMMAND, shell, standard_input, sudo_command, without_sudo_mark
from nested_kvm.connection.ssh.channel import BROKEN_MIDWAY, ChannelProgram, ChannelStream
from nested_kvm.connection.ssh.paramiko_channel import TRANSPORT_ERRORS, Transport
from nested_kvm.connection.ssh.transport import ConnectionDropped, is_channel_refusal, reason
from nested_kvm.errors import ConnectionFailed, LimitExceeded

_SESSIONS = 8
"""Executions at once; sshd's MaxSessions is 10, and libvirt's tunnel is one."""
_PAUSES = (0.05, 1.0)
"""Seconds before a session is opened again: at first, and at most."""
_GRACE = 0.5  # seconds that a call may take to notice its deadline by itself


def _nothing() -> None:
    """Do nothing: nothing else is closed with the connection."""


class SshConnection(PlainBackend, Connection):
    """A connection over one SSH transport. Many threads may use it at once."""

    NAME = "ssh"

    def __init__(self, name: str, hostname: str, transport: Transport, settings: Settings) -> None:
        super().__init__(hostname, sudo=settings.sudo, sudo_user=settings.sudo_user)
        self.name = name
        self._transport = transport
        self._settings = settings
        self._given_up = ""
        self._has_opened_session = False
        self._sessions = threading.BoundedSemaphore(_SESSIONS)
        self.when_closed: Callable[[], None] = _nothing
        """Closes what serves this connection alone."""

    @cached_property
    def host(self) -> testinfra.host.Host:
        """Testinfra's view of the target, over this very connection."""
        host = testinfra.host.Host(self)
        self.set_host(host)
        return host

    @property
    def is_alive(self) -> bool:
        """Whether the transport is still connected."""
        return self._transport.is_active()

    @property
    def probe_timeout(self) -> float:
        """Seconds that one execution may take."""
        return self._settings.probe_timeout

    def execute(self, script: str, *arguments: str) -> CommandResult:
        """Run a POSIX `sh` script on the target, in one execution. See `Connection.execute`."""
        command = shlex.join(shell(sudo=self.sudo, sudo_user=self.sudo_user))
        answer = self._execute(f"exec {command}", standard_input(script, arguments, sudo=self.sudo))
        return without_sudo_mark(answer, self.name) if self.sudo else answer

    def open_stream(self, program: str) -> ChannelStream:
        """Start a program and return its standard input and output; as root where `Settings.sudo` says so.

        Args:
            program: for a POSIX shell; it inherits the stream as its standard input and output.

        Raises:
            ConnectionFailed: the connection broke, or the target refused the execution.
            LimitExceeded: it took too long.
        """
        command = sudo_command(program, self.sudo_user) if self.sudo else f"/bin/sh -c {shlex.quote(program)}"
        deadline = Deadline(self._settings.probe_timeout)
        with closing_at(deadline, self._transport.close, grace=_GRACE):
            return ChannelStream(self._open_program(f"exec {command}", BoundedOutput(self.name, deadline, 0), deadline))

    def forward(self, host: str, port: int, deadline: Deadline, where: str) -> paramiko.Channel:
        """Open a TCP connection from the target to another machine: RFC 4254, section 7.2.

        Raises:
            ConnectionFailed: the target cannot reach it, does not allow forwarding, or is disconnected.
        """
        try:
            return self._transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=deadline.remaining
            )
        except TRANSPORT_ERRORS as error:
            is_transient = self._transport.is_active() and is_channel_refusal(error)
            kind = ConnectionDropped if is_transient else ConnectionFailed
            raise kind(f"{where}: {self.name} does not forward the connection ({reason(error)})") from None

    def close(self) -> None:
        """Close the connection. Closing twice does nothing."""
        self._given_up = self._given_up or "the connection was closed"
        self._transport.close()
        self.when_closed()

    def _execute(self, command: str, data: bytes) -> CommandResult:
        with self._sessions:
            return self._execute_now(command, data)

    def _execute_now(self, command: str, data: bytes) -> CommandResult:
        deadline = Deadline(self._settings.probe_timeout)
        output = BoundedOutput(self.name, deadline, self._settings.answer_limit)
        with closing_at(deadline, self._transport.close, grace=_GRACE):
            channel = self._open_program(command, output, deadline)
            try:
                return ChannelProgram(channel, data, output, deadline).communicate()
            except LimitExceeded:
                self._give_up(channel, deadline)
                raise
            except TRANSPORT_ERRORS as error:
                raise (
                    output.timed_out()
                    if deadline.expired
                    else output.connection_error(f"{BROKEN_MIDWAY} ({reason(error)})")
                ) from None
            finally:
                channel.close()

    def _open_program(self, command: str, output: BoundedOutput, deadline: Deadline) -> paramiko.Channel:
        if self._given_up:
            raise output.connection_error(self._given_up)
        try:
            channel = self._open_session(deadline)
            channel.settimeout(self._settings.probe_timeout)
            channel.exec_command(command)
        except TRANSPORT_ERRORS as error:
            raise self._not_started(error, output, deadline) from None
        return channel

    def _open_session(self, deadline: Deadline) -> paramiko.Channel:
        """Open a session, and wait while sshd refuses one more than its MaxSessions.

        sshd counts a session until it has seen its end: a busy one still counts some that are closed here. One that
        never let a session begin refuses for another reason.
        """
        pause, longest = _PAUSES
        while True:
            try:
                channel = self._transport.open_session(timeout=deadline.remaining)
            except paramiko.SSHException as error:
                may_accept_later = self._has_opened_session and self._transport.is_active() and not self._given_up
                if not may_accept_later or not is_channel_refusal(error) or deadline.remaining <= pause:
                    raise
            else:
                self._has_opened_session = True
                return channel
            time.sleep(pause)
            pause = min(2 * pause, longest)

    def _not_started(self, error: Exception, output: BoundedOutput, deadline: Deadline) -> Exception:
        if deadline.expired:
            self._given_up = "the target was abandoned after a timeout"
            return output.timed_out()
        if not self._transport.is_active():
            return output.connection_error(f"the connection broke before the command was started ({reason(error)})")
        return output.connection_error(f"the target does not run a command ({reason(error)})")

    def _give_up(self, channel: paramiko.Channel, deadline: Deadline) -> None:
        """Run nothing more on the target.

        A target that floods is disconnected; one that hangs is not, for the guests behind it.
        """
        if deadline.expired:
            self._given_up = "the target was abandoned after a timeout"
            channel.close()
        else:
            self._given_up = "it was closed because the target wrote too much"
            self._transport.close()

    @override
    def run(self, command: str, *args: str, **kwargs: Any) -> TestinfraResult:
        """Run a command for Testinfra."""
        line = self.get_command(command, *args)
        answer = self._execute("exec /bin/sh -s", standard_input(ONE_COMMAND, [line], sudo=False))
        status = 255 if answer.exit_status is None else answer.exit_status
        return self.result(status, line.encode(errors="surrogateescape"), answer.stdout, answer.stderr)

    @override
    def get_pytest_id(self) -> str:
        return self.name
