"""A connection to a guest through its QEMU guest agent: without an account, a key or a network.

libvirt on the guest's host forwards the commands. virsh gives them to it there, whatever connection the host has; it
uses libvirt's read-write service, the only one that can reach agents.
"""

import base64
import binascii
import json
import shlex
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import testinfra.host
from testinfra.backend.base import CommandResult as TestinfraResult
from typing_extensions import override

from nested_kvm.connection.base import STDERR_KEPT, CommandResult, Connection, Settings
from nested_kvm.connection.deadline import Deadline
from nested_kvm.connection.guest_agent_errors import agent_refusal
from nested_kvm.connection.plain_backend import PlainBackend
from nested_kvm.connection.shell_command import ONE_COMMAND, standard_input
from nested_kvm.errors import AnswerUnusable, ConnectionFailed, LimitExceeded
from nested_kvm.util.text import printable

_ANSWER_SECONDS = 10
"""Seconds that libvirt waits for the agent's answer to one command."""
_PAUSES = (0.05, 1.0)
"""Seconds between two queries of the status: at first, and at most."""
_ROOM = 4096

# A guest's output must stay below the limit of the host's own execution: exceeding that would close the host.
_ASK = """\
PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
export PATH LC_ALL
ask() { virsh -q -c "$1" qemu-agent-command --timeout "$2" -- "$3" "$4"; }
{ ask "$@" 2>&1 >&3 3>&- | head -c 4096 >&2; } 3>&1 | head -c "$5"
"""


class GuestAgentConnection(PlainBackend, Connection):
    """A connection over a guest's agent, which runs everything as root."""

    NAME = "agent"

    def __init__(self, name: str, l0: Connection, uri: str, domain: str, settings: Settings) -> None:
        """Prepare the connection: nothing is sent yet.

        Raises:
            ConnectionFailed: virsh would take the name for an id.
        """
        super().__init__(domain)
        if domain.isdecimal():
            raise ConnectionFailed(f"{name}: virsh takes the name {domain} for an id: use the domain's uuid instead")
        self.name = name
        self._l0 = l0
        self._uri = uri
        self._domain = domain
        self._settings = settings
        self._given_up = ""

    @cached_property
    def host(self) -> testinfra.host.Host:
        """Testinfra's view of the guest, over its agent."""
        host = testinfra.host.Host(self)
        self.set_host(host)
        return host

    def execute(self, script: str, *arguments: str) -> CommandResult:
        """Run a POSIX `sh` script in the guest. See `Connection.execute`.

        Raises:
            NotAllowed: the agent is configured not to run commands.
        """
        if self._given_up:
            raise ConnectionFailed(f"{self.name}: {self._given_up}")
        deadline = Deadline(self._settings.probe_timeout)
        given = base64.b64encode(standard_input(script, arguments, sudo=False)).decode()
        started = self._ask(
            "guest-exec", {"path": "/bin/sh", "arg": ["-s"], "input-data": given, "capture-output": True}
        )
        pid = started.get("pid")
        if not isinstance(pid, int):
            raise self._unusable("it has no pid")
        return self._answer(self._wait(pid, deadline))

    def close(self) -> None:
        """Send the guest nothing more. Closing twice does nothing."""
        self._given_up = self._given_up or "the connection was closed"

    def _wait(self, pid: int, deadline: Deadline) -> Mapping[str, Any]:
        pause, longest = _PAUSES
        while not deadline.expired and not self._given_up:
            status = self._ask("guest-exec-status", {"pid": pid})
            if status.get("exited") is True:
                return status
            time.sleep(min(pause, deadline.remaining))
            pause = min(2 * pause, longest)
        self._given_up = self._given_up or "the target was abandoned after a timeout"
        raise LimitExceeded(f"{self.name}: no complete answer within {deadline.seconds:g} s (--probe-timeout)")

    def _answer(self, status: Mapping[str, Any]) -> CommandResult:
        stdout, stderr = self._decoded(status, "out-data"), self._decoded(status, "err-data")
        if status.get("out-truncated") or len(stdout) > self._settings.answer_limit:
            raise self._too_much(stdout)
        exit_status = status.get("exitcode")
        return CommandResult(exit_status if isinstance(exit_status, int) else None, stdout, stderr[:STDERR_KEPT])

    def _decoded(self, status: Mapping[str, Any], key: str) -> bytes:
        try:
            return base64.b64decode(status.get(key, ""), validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise self._unusable(f"its {key} is not base64") from None

    def _ask(self, command: str, arguments: Mapping[str, object]) -> Mapping[str, Any]:
        """Send the agent one command, and return its answer.

        Raises:
            ObservationError: it does not answer, or refuses.
        """
        words = json.dumps({"execute": command, "arguments": arguments})
        limit = self._settings.answer_limit - _ROOM
        seconds = str(_ANSWER_SECONDS)
        answer = self._l0.execute(_ASK, self._uri, seconds, self._domain, words, str(limit))
        if not answer.stdout.strip():
            complaint = printable(answer.stderr, limit=1000) or "no message"
            raise agent_refusal(self.name, self._l0.name, shlex.quote(self._domain), complaint)
        if len(answer.stdout) >= limit:
            raise self._too_much(b"")
        try:
            returned = json.loads(answer.stdout)["return"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._unusable(f"it starts with {printable(answer.stdout, limit=100)!r}") from None
        if not isinstance(returned, dict):
            raise self._unusable("it is not a JSON object")
        return returned

    def _too_much(self, stdout: bytes) -> LimitExceeded:
        self._given_up = "the target was abandoned because it wrote too much"
        text = f"{self.name}: it wrote more than its agent may return ({self._settings.answer_limit} bytes in base64)"
        return LimitExceeded(text, partial=stdout[: self._settings.answer_limit])

    def _unusable(self, reason: str) -> AnswerUnusable:
        return AnswerUnusable(f"{self.name}: its agent's answer cannot be used: {reason}")

    @override
    def run(self, command: str, *args: str, **kwargs: Any) -> TestinfraResult:
        """Run a command for Testinfra."""
        line = self.get_command(command, *args)
        answer = self.execute(ONE_COMMAND, line)
        status = 255 if answer.exit_status is None else answer.exit_status
        return self.result(status, line.encode(errors="surrogateescape"), answer.stdout, answer.stderr)

    @override
    def get_pytest_id(self) -> str:
        return self.name
