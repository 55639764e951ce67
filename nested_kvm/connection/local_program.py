"""Runs one program on this machine within limits, writing and reading at the same time."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from nested_kvm.connection.base import CommandResult
from nested_kvm.connection.deadline import Deadline
from nested_kvm.connection.output import BoundedOutput

_CHUNK = 64 * 1024
_POLL = 0.1
_SILENCE_AFTER_EXIT = 1.0
"""Seconds. A process that the program left behind may hold its output open for ever."""
_LAST_WAIT = 1.0


class LocalProgram:
    """A program whose whole output is read. It leads its own process group, which is killed with it."""

    def __init__(self, argv: Sequence[str], data: bytes, output: BoundedOutput, deadline: Deadline) -> None:
        self._output = output
        self._deadline = deadline
        self._pending = memoryview(data)
        self._last_heard = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603  # running what the caller asks for is its purpose
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    def communicate(self) -> CommandResult:
        """Send all, read all, and wait for the exit status.

        Raises:
            LimitExceeded: it took too long, or wrote too much; it was killed.
        """
        try:
            with selectors.DefaultSelector() as selector:
                self._register(selector)
                self._pump(selector)
            return self._output.answer(self._exit_status())
        finally:
            self._end()

    def _register(self, selector: selectors.BaseSelector) -> None:
        process = self._process
        for stream, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stdout, selectors.EVENT_READ),
            (process.stderr, selectors.EVENT_READ),
        ):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, event)

    def _pump(self, selector: selectors.BaseSelector) -> None:
        while selector.get_map() and not self._is_left_behind():
            if self._deadline.expired:
                raise self._output.timed_out()
            for key, _ in selector.select(min(self._deadline.remaining, _POLL)):
                stream = key.fileobj
                is_open = self._write(stream) if stream is self._process.stdin else self._read(stream)  # type: ignore[arg-type]  # a pipe: nothing else is registered
                if not is_open:
                    selector.unregister(stream)
                    stream.close()  # type: ignore[union-attr]  # as above

    def _is_left_behind(self) -> bool:
        silence = time.monotonic() - self._last_heard
        return silence > _SILENCE_AFTER_EXIT and self._process.poll() is not None

    def _write(self, stream: IO[bytes]) -> bool:
        """Write a chunk; return whether more follows. A program that ends without reading all is not an error."""
        try:
            self._pending = self._pending[os.write(stream.fileno(), self._pending[:_CHUNK]) :]
        except BrokenPipeError:
            return False
        return bool(self._pending)

    def _read(self, stream: IO[bytes]) -> bool:
        data = os.read(stream.fileno(), _CHUNK)
        self._last_heard = time.monotonic()
        add = self._output.add_stdout if stream is self._process.stdout else self._output.add_stderr
        add(data)
        return bool(data)

    def _exit_status(self) -> int | None:
        try:
            status = self._process.wait(self._deadline.remaining)
        except subprocess.TimeoutExpired:
            raise self._output.timed_out() from None
        return status if status >= 0 else None

    def kill(self) -> None:
        """Kill the process group, unless it runs as another user."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self) -> None:
        """Kill the process group. One that cannot be killed finds its pipes closed."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WAIT)
