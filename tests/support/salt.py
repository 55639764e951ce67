"""A real Salt on loopback: a master, and minions that each believe to be another machine."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.needs import salt_program
from tests.support.sshd import free_port

_READY_SECONDS = 120.0
_PLACES = "user: root\npki_dir: pki\ncachedir: cache\nsock_dir: sock\nlog_file: log\npidfile: pid\n"


class SaltMaster:
    """A master that accepts every key, and runs jobs on its minions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_port(), free_port()
        self._configuration = folder / "master"
        self._configuration.mkdir()
        (self._configuration / "master").write_text(
            f"root_dir: {folder}/master\ninterface: 127.0.0.1\npublish_port: {self.ports[0]}\n"
            f"ret_port: {self.ports[1]}\nauto_accept: true\nworker_threads: 3\ntransport: zeromq\n{_PLACES}"
        )

    def start(self) -> None:
        # It must not outlive tests that are killed.
        command = ["setpriv", "--pdeathsig", "KILL", self._program("salt-master"), "-c", str(self._configuration)]
        with (self.folder / "master.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "-l", "warning"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def minion(self, name: str) -> str:
        """Return shell commands that start a minion of that name: for the prelude of an sshd."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "minion").write_text(
            f"id: {name}\nroot_dir: {folder}\nmaster: 127.0.0.1\npublish_port: {self.ports[0]}\n"
            f"master_port: {self.ports[1]}\ntransport: zeromq\n{_PLACES}"
        )
        program = self._program("salt-minion")
        return f"{program} -c {folder} -l warning >{folder}/out 2>&1 </dev/null &\n"

    def job(self, minions: Sequence[str], *words: str) -> str:
        """Run one job, and return what `salt` prints of it."""
        command = [self._program("salt"), "-c", str(self._configuration), "--out=json", "--static", "-L"]
        ended = subprocess.run(
            [*command, ",".join(minions), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return ended.stdout

    def wait_for(self, minions: Sequence[str]) -> None:
        """Wait until each minion answers."""
        end = time.monotonic() + _READY_SECONDS
        accepted = self._configuration / "pki" / "minions"
        while not all((accepted / name).exists() for name in minions) or any(
            f'"{name}": true' not in self.job(minions, "test.ping") for name in minions
        ):
            assert self._process.poll() is None, "the master ended at once"
            assert time.monotonic() < end, "not every minion answers"
            time.sleep(0.5)

    def _program(self, name: str) -> str:
        found = salt_program(name)
        assert found is not None
        return found
