"""States to put a lab into, and back: one short file each under `scenarios/`.

A file defines `enter` and `undo`, both sh. `# on:` names the machine they run on, and `# guests: restarted`
says that they stop the guests, which are then started again, one at a time.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from lab.config import SOURCE
from lab.errors import LabError
from lab.progress import say
from lab.session import Session
from lab.shell import Shell

FILES = SOURCE / "scenarios"
LIMIT = 180


@dataclass(frozen=True)
class Scenario:
    """One file of `scenarios/`."""

    name: str
    text: str

    @property
    def machine(self) -> str:
        """Where it runs."""
        found = re.search(r"^# on: (\S+)$", self.text, re.MULTILINE)
        if found is None:
            raise LabError(f"scenario {self.name} does not say on which machine it runs")
        return found[1]

    @property
    def restarts_guests(self) -> bool:
        """Whether the guests that ran are to be started again afterwards."""
        return "\n# guests: restarted\n" in self.text

    def script(self, module: str, *, undo: bool) -> bytes:
        """The file and the call of one of its two functions."""
        return f"set -eu\nmodule={module}\n{self.text}\n{'undo' if undo else 'enter'}\n".encode()


def names() -> list[str]:
    """Every scenario there is; a new file is one more."""
    return sorted(path.stem for path in FILES.glob("*.sh"))


def play(session: Session, name: str, *, undo: bool = False) -> None:
    """Enter a scenario, or undo it; never twice, since most would then be undone wrongly."""
    scenario = Scenario(name, (FILES / f"{name}.sh").read_text())
    entered = active(session)
    if undo is not (name in entered):
        raise LabError(f"scenario {name} is {'not' if undo else 'already'} entered")
    ran = session.host.running()
    script = scenario.script(session.config.suite.module, undo=undo)
    say(f"{'undoing' if undo else 'entering'} {name}")
    Shell(session.config, scenario.machine).run("sh -s", limit=LIMIT, stdin=script)
    _note(session, entered - {name} if undo else entered | {name})
    if scenario.restarts_guests:
        session.restore(ran)


def active(session: Session) -> set[str]:
    """The scenarios that the lab is in now."""
    path = _list(session)
    return set(path.read_text().split()) if path.exists() else set()


def _note(session: Session, entered: set[str]) -> None:
    _list(session).write_text(" ".join(sorted(entered)))


def _list(session: Session) -> Path:
    return session.config.run / "scenarios"
