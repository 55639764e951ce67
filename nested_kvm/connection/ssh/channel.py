"""Runs one program on an SSH channel within limits, writing and reading at the same time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko

from nested_kvm.connection.base import STDERR_KEPT, CommandResult
from nested_kvm.connection.deadline import Deadline
from nested_kvm.connection.output import BoundedOutput

_CHUNK = 32 * 1024
_PAUSE_WHILE_WRITING = 0.002
_PAUSES = (0.05, 0.4)
"""Seconds between two reads, at first and at most: each is twice the last. The exit status ends the pause."""
BROKEN_MIDWAY = "the connection broke before the answer was complete"
_SILENCE_AFTER_EXIT = 2.0
"""Seconds. A process that the program left behind may hold its output open for ever."""


class ChannelProgram:
    """A program whose whole output is read."""

    def __init__(self, channel: paramiko.Channel, data: bytes, output: BoundedOutput, deadline: Deadline) -> None:
        self._channel = channel
        self._pending = memoryview(data)
        self._output = output
        self._deadline = deadline
        self._last_heard = time.monotonic()
        self._pause, self._longest = _PAUSES

    def communicate(self) -> CommandResult:
        """Send all, read all, and wait for the exit status.

        Raises:
            LimitExceeded: it took too long, or wrote too much.
            ConnectionFailed: the connection broke before it ended.
            OSError, paramiko.SSHException: the same, noticed by a call.
        """
        while not self._is_finished():
            if self._deadline.expired:
                raise self._output.timed_out()
            if not (self._write() | self._read()):
                self._wait()
        return self._output.answer(self._exit_status())

    def _wait(self) -> None:
        """Pause while output arrives: it comes in many small packets, and waking for each would be costly."""
        pause = self._pause
        if self._pending:
            pause = _PAUSE_WHILE_WRITING
        else:
            self._pause = min(2 * pause, self._longest)
        if not self._channel.status_event.wait(min(self._deadline.remaining, pause)):
            return
        # The status comes before the end of the output, or after it.
        time.sleep(_PAUSE_WHILE_WRITING)

    def _is_finished(self) -> bool:
        channel = self._channel
        ended = bool(channel.eof_received) or channel.closed or self._is_left_behind()
        return ended and not (channel.recv_ready() or channel.recv_stderr_ready())

    def _is_left_behind(self) -> bool:
        silence = time.monotonic() - self._last_heard
        return self._channel.exit_status_ready() and silence > _SILENCE_AFTER_EXIT

    def _write(self) -> bool:
        """Send a chunk if the target takes one. A program that ends without reading all is not an error."""
        if not self._pending or not self._channel.send_ready():
            return False
        if self._channel.closed or self._channel.exit_status_ready():
            self._pending = memoryview(b"")
            return False
        try:
            sent = self._channel.send(bytes(self._pending[:_CHUNK]))
        except OSError:
            if not self._has_ended():
                raise
            sent = len(self._pending)
        self._pending = self._pending[sent:]
        if not self._pending:
            self._channel.shutdown_write()
        return True

    def _has_ended(self) -> bool:
        """Return whether the program ended, and not the connection."""
        return self._channel.closed and self._channel.get_transport().is_active()

    def _read(self) -> bool:
        channel = self._channel
        out, err = channel.recv_ready(), channel.recv_stderr_ready()
        if out:
            self._output.add_stdout(channel.recv(_CHUNK))
        if err:
            self._output.add_stderr(channel.recv_stderr(_CHUNK))
        if out or err:
            self._last_heard = time.monotonic()
        return out or err

    def _exit_status(self) -> int | None:
        """Return the exit status; None where the target sent none, because a signal ended the program."""
        if not self._channel.status_event.wait(self._deadline.remaining):
            raise self._output.timed_out()
        if self._channel.exit_status != -1:
            return self._channel.exit_status
        if not self._channel.get_transport().is_active():
            raise self._output.connection_error(BROKEN_MIDWAY)
        return None


class ChannelStream:
    """A program's standard input and output, as a byte stream for a protocol."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._stderr = bytearray()

    def recv(self, size: int, /) -> bytes:
        """Wait for up to `size` bytes; empty at the end.

        Raises:
            OSError: the connection broke, or nothing came in time.
        """
        with _os_errors():
            self._drain_stderr()
            return self._channel.recv(size)

    def sendall(self, data: bytes, /) -> None:
        """Send all of `data`.

        Raises:
            OSError: the program has ended.
        """
        with _os_errors():
            self._channel.sendall(data)

    def stderr(self) -> bytes:
        """Return the first `STDERR_KEPT` bytes of its standard error so far."""
        with suppress(OSError), _os_errors():
            self._drain_stderr()
        return bytes(self._stderr)

    def close(self) -> None:
        """Close the channel, which ends the program."""
        self.stderr()
        with suppress(OSError), _os_errors():
            self._channel.close()

    def _drain_stderr(self) -> None:
        while self._channel.recv_stderr_ready():
            data = self._channel.recv_stderr(_CHUNK)
            self._stderr += data[: STDERR_KEPT - len(self._stderr)]


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turn paramiko's errors into a socket's."""
    try:
        yield
    except (paramiko.SSHException, EOFError) as error:
        raise ConnectionError(str(error)) from None
