"""Passes a script to a POSIX shell, whatever the account's login shell is."""

import shlex
from collections.abc import Iterable

from nested_kvm.connection.base import CommandResult
from nested_kvm.errors import ConnectionFailed
from nested_kvm.util.text import printable

ONE_COMMAND = 'exec /bin/sh -c "$1" </dev/null'
"""A script that runs its argument as Testinfra does: without standard input."""

_LONG = 2000
_NO_SUCH_PROGRAM = 127
"""A POSIX shell's exit status."""
_READ_AS_A_WHOLE = '[ -z "$BASH_VERSION" ] || eval "$(cat)"\n'
"""The first line of a long script. bash reads its commands from a pipe byte by byte, other shells in blocks: only for
bash, cat(1) costs less."""

_STARTED = b"nested-kvm-compliance: started as root\n"


def shell(*, sudo: bool, sudo_user: str | None) -> list[str]:
    """Return the program that reads a script from standard input. sudo(8): `-n` never prompts."""
    if not sudo:
        return ["/bin/sh", "-s"]
    user = [] if sudo_user is None else ["-u", sudo_user]
    return ["sudo", "-n", *user, "--", "/bin/sh", "-s"]


def standard_input(script: str, arguments: Iterable[str], *, sudo: bool) -> bytes:
    """Return the standard input of that shell.

    It holds the arguments too: so only `/bin/sh` parses them, and no process list shows them.
    """
    whole = _READ_AS_A_WHOLE if len(script) > _LONG else ""
    started = f"printf %s {shlex.quote(_STARTED.decode())} >&2; " if sudo else ""
    words = " ".join(shlex.quote(argument) for argument in arguments)
    return f"{whole}{started}set -- {words}; {script}\n".encode(errors="surrogateescape")


def without_sudo_mark(answer: CommandResult, target: str) -> CommandResult:
    """Remove the mark which shows that sudo started the script.

    Raises:
        ConnectionFailed: the mark is absent: sudo refused, or is missing.
    """
    before, mark, after = answer.stderr.partition(_STARTED)
    if not mark:
        complaint = printable(answer.stderr) or f"exit status {answer.exit_status}"
        is_missing = answer.exit_status == _NO_SUCH_PROGRAM
        advice = "Install sudo there" if is_missing else "Allow it without a password in sudoers (NOPASSWD)"
        raise ConnectionFailed(f"{target}: sudo -n did not run the probe: {complaint}. {advice}, or log in as root")
    return CommandResult(answer.exit_status, answer.stdout, before + after)


def sudo_command(command: str, sudo_user: str | None) -> str:
    """Return a shell command that runs `command` as root, or as `sudo_user`, without ever prompting."""
    user = "" if sudo_user is None else f" -u {shlex.quote(sudo_user)}"
    return f"sudo -n{user} -- /bin/sh -c {shlex.quote(command)}"
