"""Run the audit on the lab as a user would, and read its results.json."""

import json
import os
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import watched
from lab.config import HOST
from lab.errors import GuestHungError
from lab.guests import GUESTS
from lab.session import TRIES, Session

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 1200
AGENT_LOST = "Guest agent disappeared while executing command"
"""libvirt's words."""
NO_ANSWER = "no complete answer within"
"""The audit's words for a machine that hangs: each command of the probe has its own, far shorter limit."""
COMPLETED = {0, 1, 6}
"""The exit statuses of a run that was completed."""


@dataclass(frozen=True)
class Report:
    """One run's results.json."""

    data: dict[str, Any]
    directory: Path
    """Where its inventory is, and its reports and evidence in `latest`."""

    @property
    def controls(self) -> set[str]:
        """The controls with a result in this run."""
        return {result["control"] for result in self.data["results"]}

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The results with the outcome `error`."""
        return [result for result in self.data["results"] if result["outcome"] == "error"]

    def result(self, control: str, subject: str) -> dict[str, Any]:
        """The one result of a control for a subject."""
        found = [r for r in self.data["results"] if (r["control"], r["subject"]) == (control, subject)]
        assert len(found) == 1, f"{len(found)} results of {control} for {subject}"
        return dict(found[0])

    def diagnosis(self, guest: str) -> tuple[str, str | None, str | None]:
        """Whether a guest can nest, the first broken link of its chain, and the cause."""
        found = [each for each in self.data["diagnoses"] if each["target"] == guest]
        assert len(found) == 1, f"{len(found)} diagnoses of {guest}"
        return found[0]["can_nest"], found[0]["broken_link"], found[0]["cause"]

    def problem(self, cause: str) -> dict[str, Any]:
        """The one problem of a cause."""
        found = [each for each in self.data["problems"] if each["cause"] == cause]
        assert len(found) == 1, f"{len(found)} problems of {cause}"
        return dict(found[0])

    def answer(self, target: str) -> tuple[str, str]:
        """Whether a target nests, now and after the next boot of its host."""
        found = [each for each in self.data["answers"] if each["target"] == target]
        assert len(found) == 1, f"{len(found)} answers for {target}"
        return found[0]["now"], found[0]["after_boot"]

    def outcome(self, control: str, subject: str) -> str:
        """The outcome of one result."""
        return str(self.result(control, subject)["outcome"])


def run(
    lab: Session,
    directory: Path,
    running: Collection[str],
    *,
    nested: str,
    persistence: str = "effective",
    arguments: Sequence[str] = (),
    by_agent: Collection[str] = (),
) -> Report:
    """Audit the host, running guests over ssh or their agents, and the other guests by their definitions.

    A guest that panics under emulation reboots, and its connections end. Only then is an audit run again.

    Raises:
        GuestHungError: a guest's agent disappeared during the audit, as it does only in a panic; or a guest hangs.
    """
    directory.mkdir()
    inventory = directory / "inventory.json"
    inventory.write_text(json.dumps(_inventory(set(running), set(by_agent), nested, persistence)))
    begun = time.monotonic()
    report = _run_once(lab, directory, inventory, arguments)
    for _ in range(TRIES):
        if not report.errors or not any(_rebooted(lab, name, begun) for name in running):
            break
        begun = time.monotonic()
        report = _run_once(lab, directory, inventory, arguments)
    lost = [
        each["message"]
        for each in report.errors
        if (each["target"] in by_agent and AGENT_LOST in each["message"])
        or (each["target"] in running and NO_ANSWER in each["message"])
    ]
    if lost:
        raise GuestHungError(lost[0])
    assert not report.errors, f"everything in the lab can be inspected: {report.errors}"
    return report


def judge(lab: Session, audited: Report, *, nested: str, arguments: Sequence[str] = ()) -> Report:
    """Judge the evidence of an audit under another policy, which asks the lab nothing."""
    inventory: dict[str, Any] = json.loads((audited.directory / "inventory.json").read_text())
    directory = audited.directory / nested
    directory.mkdir()
    (directory / "inventory.json").write_text(
        json.dumps({**inventory, "policy": {**inventory["policy"], "nested": nested}})
    )
    evidence = f"--evidence={audited.directory}/latest/evidence"
    report = _run_once(lab, directory, directory / "inventory.json", [evidence, *arguments])
    assert not report.errors, f"what could be inspected can be judged: {report.errors}"
    return report


def _rebooted(lab: Session, guest: str, begun: float) -> bool:
    """Whether a guest has rebooted since `begun`."""
    uptime = float(lab.host.guest(guest).run("cat /proc/uptime").split()[0])
    return uptime < time.monotonic() - begun


def run_on(lab: Session, directory: Path) -> Report:
    """Audit what the inventory in a directory names."""
    return _run_once(lab, directory, directory / "inventory.json", [])


def _run_once(lab: Session, directory: Path, inventory: Path, arguments: Sequence[str]) -> Report:
    command = [sys.executable, "-m", "pytest", f"--inventory={inventory}", f"--report-dir={directory}"]
    # Emulation on a busy machine is slower than any real host.
    patience = 60 * min(lab.config.suite.slowness, 4)
    command += [f"--connect-timeout={patience}", f"--probe-timeout={2 * patience}"]
    command += [f"--ssh-config={lab.config.ssh_config}", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = watched.run(lab.config, command, limit=LIMIT, cwd=ROOT, environment=environment)
    printed = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode in COMPLETED, f"the audit ended with exit status {done.returncode}:\n{printed}"
    return Report(json.loads((directory / "latest/results.json").read_text()), directory)


def _inventory(running: set[str], by_agent: set[str], nested: str, persistence: str) -> dict[str, Any]:
    """JSON is YAML."""
    guests: dict[str, dict[str, str]] = {}
    for guest in GUESTS:
        guests[guest.name] = {"domain": guest.name}
        if guest.name in running:
            guests[guest.name] |= {"address": f"ssh://root@{guest.address}", "via": "host"}
        elif guest.name in by_agent:
            guests[guest.name] |= {"address": "agent"}
    policy = {"nested": nested, "persistence": persistence}
    return {"policy": policy, "hosts": {HOST: {"address": f"ssh://{HOST}", "guests": guests}}}
