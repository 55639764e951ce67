"""A ProxyCommand: a program on this machine whose standard input and output connect to a target's sshd."""

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
    """The part of a socket that paramiko needs, over the pipes of a program, which is always ended with it.

    paramiko's own splits the command without a shell, lets standard error fill until the program hangs, and sends
    one SIGTERM whose effect is not checked.
    """

    def __init__(self, command: str) -> None:
        """Start the program as OpenSSH does: by the user's shell, which becomes the program.

        It leads its own session, without a terminal: so it ends with its children, and never prompts.

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
        self._closed = False  # read by paramiko
        _running.add(self)

    def settimeout(self, seconds: float | None) -> None:
        """Set the time limit of each call."""
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
        """Send as much as the program takes.

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
        """End the program: a reader gets the end of the file."""
        self._end()

    def close(self) -> None:
        """End the program, and close its pipes. Closing twice does nothing."""
        self._end()
        self._hear_last_complaint()
        self._closed = True
        for pipe in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):
                pipe.close()

    def complaint(self) -> str:
        """Return the program's standard error, until it was closed, in one line."""
        return printable(self._complaint)

    def _wait_for(self, pipe: IO[bytes], event: int) -> bool:
        """Wait until `pipe` is ready, and read standard error meanwhile."""
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
        """Terminate the program's process group, and kill it if it does not end.

        A program that closed its output by itself may still print the reason.
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
    """End the programs of connections that an interrupted run leaves half open."""
    for program in tuple(_running):
        program.close()
