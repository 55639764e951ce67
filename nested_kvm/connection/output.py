"""The output of a program so far, kept within limits."""

from nested_kvm.connection.base import STDERR_KEPT, CommandResult
from nested_kvm.connection.deadline import Deadline
from nested_kvm.errors import ConnectionFailed, LimitExceeded
from nested_kvm.util.text import printable


class BoundedOutput:
    """The output of one execution. Every error that ends it early carries what has arrived."""

    def __init__(self, target: str, deadline: Deadline, limit: int) -> None:
        self._target = target
        self._deadline = deadline
        self._limit = limit
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._stderr_seen = 0

    def add_stdout(self, data: bytes) -> None:
        """Add standard output.

        Raises:
            LimitExceeded: that is more than a target may write.
        """
        self._stdout += data[: self._limit - len(self._stdout) + 1]
        if len(self._stdout) > self._limit:
            del self._stdout[self._limit :]
            raise self._too_much("standard output")

    def add_stderr(self, data: bytes) -> None:
        """Add standard error, of which only the beginning is kept.

        Raises:
            LimitExceeded: that is more than a target may write.
        """
        self._stderr_seen += len(data)
        self._stderr += data[: STDERR_KEPT - len(self._stderr)]
        if self._stderr_seen > self._limit:
            raise self._too_much("standard error")

    def answer(self, exit_status: int | None) -> CommandResult:
        """Return the result of the execution."""
        return CommandResult(exit_status, bytes(self._stdout), bytes(self._stderr))

    def _too_much(self, stream: str) -> LimitExceeded:
        return LimitExceeded(
            f"{self._target}: it wrote more than {self._limit} bytes to {stream}, and was closed",
            partial=bytes(self._stdout),
        )

    def timed_out(self) -> LimitExceeded:
        """Make the error for an execution that took too long."""
        return LimitExceeded(
            f"{self._target}: no complete answer within {self._deadline.seconds:g} s (--probe-timeout)",
            partial=bytes(self._stdout),
        )

    def connection_error(self, reason: object) -> ConnectionFailed:
        """Make the error for a broken connection."""
        return ConnectionFailed(f"{self._target}: {printable(reason)}", partial=bytes(self._stdout))
