"""Scenarios: states of the lab that can be entered and undone, one short file each under `scenarios/`.

A file defines `enter` and `undo`, both sh. `# on:` names the machine they run on, and `# guests: restarted`
says that they stop the guests, which are then started again, one at a time.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from lab.config import SOURCE
from lab.errors import LabError
from lab.host import UNLOAD
from lab.progress import say
from lab.session import Session
from lab.shell import Shell

FILES = SOURCE / "scenarios"
LIMIT = 180


@dataclass(frozen=True)
class Scenario:
    """One scenario and its file's text."""

    name: str
    text: str

    @property
    def machine(self) -> str:
        """The name of the machine that it runs on."""
        found = re.search(r"^# on: (\S+)$", self.text, re.MULTILINE)
        if found is None:
            raise LabError(f"scenario {self.name} does not name the machine that it runs on")
        return found[1]

    @property
    def restarts_guests(self) -> bool:
        """Whether the running guests are started again afterwards."""
        return "\n# guests: restarted\n" in self.text

    def script(self, module: str, *, undo: bool) -> bytes:
        """Return the file's text with a call of `enter` or `undo`."""
        return f"set -eu\nmodule={module}\n{UNLOAD}\n{self.text}\n{'undo' if undo else 'enter'}\n".encode()


def names() -> list[str]:
    """The names of all scenarios, one for each file."""
    return sorted(path.stem for path in FILES.glob("*.sh"))


def play(session: Session, name: str, *, undo: bool = False) -> None:
    """Enter a scenario, or undo it; never twice, since most could not be undone then."""
    scenario = Scenario(name, (FILES / f"{name}.sh").read_text())
    entered = active(session)
    if undo is not (name in entered):
        raise LabError(f"scenario {name} is {'not' if undo else 'already'} active")
    ran = session.host.running()
    script = scenario.script(session.config.suite.module, undo=undo)
    say(f"{'undoing' if undo else 'entering'} {name}")
    Shell(session.config, scenario.machine).run("sh -s", limit=LIMIT, stdin=script)
    _note(session, entered - {name} if undo else entered | {name})
    if scenario.restarts_guests:
        session.restore(ran)


def active(session: Session) -> set[str]:
    """The active scenarios."""
    path = _list(session)
    return set(path.read_text().split()) if path.exists() else set()


def _note(session: Session, entered: set[str]) -> None:
    _list(session).write_text(" ".join(sorted(entered)))


def _list(session: Session) -> Path:
    return session.config.run / "scenarios"
