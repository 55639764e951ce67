"""A ProxyCommand: a program on this machine whose standard input and output lead to a target's sshd."""

import atexit
import os
import select
import signal
import subprocess
import threading
import weakref
from contextlib import suppress
from typing import IO, cast

from nested_kvm.connection.base import STDERR_KEPT
from nested_kvm.connection.deadline import Deadline
from nested_kvm.util.text import printable

_CHUNK = 32 * 1024
_PIPE_TAKES = 512  # what a pipe that is ready takes without blocking: POSIX's PIPE_BUF
_SECONDS_TO_END = 1.0


_running: "weakref.WeakSet[ProxyCommand]" = weakref.WeakSet()


class ProxyCommand:
    """What paramiko needs of a socket, over the pipes of a program. The program ends with it, for sure.

    paramiko's own splits the command without a shell, lets standard error fill until the program hangs, and sends
    one SIGTERM that nobody checks.
    """

    def __init__(self, command: str) -> None:
        """Start it as OpenSSH does: by the user's shell, which becomes the program.

        It leads a session of its own, without a terminal: so it ends with all that it started, and never asks.

        Raises:
            OSError: there is no shell.
        """
        self._process = subprocess.Popen(  # noqa: S603  # the user's own ssh-config says what to run
            [os.environ.get("SHELL") or "/bin/sh", "-c", f"exec {command}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._stdin, self._stdout, self._stderr = (
            cast("IO[bytes]", pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._complaint = bytearray()
        self._timeout: float | None = None
        self._ending = threading.Lock()
        self._is_ending = False
        self._ended = False
        self._closed = False  # paramiko looks at it
        _running.add(self)

    def settimeout(self, seconds: float | None) -> None:
        """Let each call wait that long."""
        self._timeout = seconds

    def recv(self, size: int) -> bytes:
        """Wait for up to `size` bytes; empty at the end.

        Raises:
            TimeoutError: nothing came in time.
            OSError: it was closed meanwhile.
        """
        try:
            if not self._wait_for(self._stdout, select.POLLIN):
                raise TimeoutError
            data = self._stdout.read(size)
        except ValueError:
            raise ConnectionError("the ProxyCommand was closed") from None
        self._is_ending = self._is_ending or not data
        return data

    def send(self, data: bytes) -> int:
        """Send what the program takes.

        Raises:
            TimeoutError: it takes nothing in time.
            OSError: it has ended.
        """
        try:
            if not self._wait_for(self._stdin, select.POLLOUT):
                raise TimeoutError
            return self._stdin.write(data[:_PIPE_TAKES])
        except ValueError:
            raise ConnectionError("the ProxyCommand was closed") from None

    def shutdown(self, _how: int) -> None:
        """End the program: whoever reads from it finds the end."""
        self._end()

    def close(self) -> None:
        """End the program, and let go of its pipes. Closing twice does nothing."""
        self._end()
        self._hear_last_complaint()
        self._closed = True
        for pipe in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):
                pipe.close()

    def complaint(self) -> str:
        """Say in one line what the program wrote to its standard error until it was closed."""
        return printable(self._complaint)

    def _wait_for(self, pipe: IO[bytes], event: int) -> bool:
        """Wait until `pipe` is ready, and let the program complain meanwhile."""
        poll = select.poll()
        poll.register(pipe, event)
        poll.register(self._stderr, select.POLLIN)
        deadline = None if self._timeout is None else Deadline(self._timeout)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(None if deadline is None else deadline.remaining * 1000)}
            if pipe.fileno() in ready:
                return True
            if not ready or (deadline and deadline.expired):
                return False
            if not self._hear_complaint():
                poll.unregister(self._stderr)

    def _hear_complaint(self) -> bytes:
        data = self._stderr.read(_CHUNK)
        self._complaint += data[: STDERR_KEPT - len(self._complaint)]
        return data

    def _hear_last_complaint(self) -> None:
        with suppress(OSError, ValueError):
            while len(self._complaint) < STDERR_KEPT and select.select([self._stderr], [], [], 0)[0]:
                if not self._hear_complaint():
                    return

    def _end(self) -> None:
        """Ask the program and all that it started to end; what does not is killed.

        One that closed its output by itself may still say why.
        """
        with self._ending:
            if not self._ended:
                if self._is_ending:
                    self._wait()
                self._signal(signal.SIGTERM)
                self._wait()
                self._signal(signal.SIGKILL)
                self._wait()
                self._ended = True

    def _wait(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


@atexit.register
def end_all() -> None:
    """End the programs of connections that an interrupted run leaves half made."""
    for program in tuple(_running):
        program.close()
