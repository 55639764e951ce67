"""Commands on a machine of the lab, each with a time limit in seconds."""

import subprocess
from dataclasses import dataclass

from lab import watched
from lab.config import LabConfig
from lab.errors import RemoteError, SilentError

CONNECT_LIMIT = 60
LOGIN_LIMIT = 20
SSH_FAILED = 255


@dataclass(frozen=True)
class Answer:
    """A command's output and exit status."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Shell:
    """One machine by its name in the lab's ssh_config: `lab-l0` or a guest."""

    config: LabConfig
    machine: str

    def ask(self, script: str, limit: float = 60, stdin: bytes = b"") -> Answer:
        """Run a script and return its result; status 255 is a failure of ssh itself."""
        command = ["ssh", "-F", str(self.config.ssh_config), "-o", "BatchMode=yes"]
        command += ["-o", f"ConnectTimeout={CONNECT_LIMIT * self.config.suite.slowness}", self.machine, script]
        try:
            done = watched.run(self.config, command, limit=limit * self.config.suite.slowness, stdin=stdin)
        except subprocess.TimeoutExpired as error:
            raise SilentError(f"{self.machine} did not answer within {limit:.0f} s") from error
        return Answer(done.returncode, _text(done.stdout), _text(done.stderr))

    def run(self, script: str, limit: float = 60, stdin: bytes = b"") -> str:
        """Run a script that must succeed, and return its output."""
        answer = self.ask(script, limit, stdin)
        if answer.status == SSH_FAILED:
            raise SilentError(f"{self.machine} is unreachable: {answer.err.strip() or 'no message from ssh'}")
        if answer.status:
            reason = (answer.err.strip() or answer.out.strip() or "no output").splitlines()[-1]
            raise RemoteError(f"on {self.machine}: {reason} (status {answer.status})")
        return answer.out

    def answers(self) -> bool:
        """Whether a login works now."""
        try:
            return self.ask("true", limit=LOGIN_LIMIT).status == 0
        except RemoteError:
            return False


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
