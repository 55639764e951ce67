"""The contenders that are measured, each as a separate process that a user could have started."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.endpoints import Sites
from bench.errors import BenchError
from bench.hosts_cpu import HOSTS_PIDS, PROXY_PIDS, cpu_seconds, settle
from bench.measurement import Run
from bench.namespace import WORK
from bench.options import ROOT
from bench.sshd_log import Visits
from bench.timed import Usage, timed
from nested_kvm.util.text import plural

_PYTEST: Final = (sys.executable, "-m", "pytest", "-p", "no:hypothesispytest")
"""Hypothesis is in the environment of tests only: its plugin is kept out of each pytest that is measured."""
_ALONE: Final = ("-q", "-p", "no:nested_kvm_early", "-p", "no:cacheprovider")
_JUDGED: Final = (0, 1)
_FIRST_VERDICT: Final = "BENCH_FIRST_VERDICT"
"""As `bench.verdict_clock` calls it, which would bring pytest into what must stay small."""
_ENVIRONMENT: Final = {
    **{name: value for name, value in os.environ.items() if name in {"PATH", "LD_LIBRARY_PATH"}},
    "HOME": str(WORK / "home"),
    "TMPDIR": str(WORK / "tmp"),
    "LC_ALL": "C.UTF-8",
    "COLUMNS": "120",
}
"""What a user's shell gives; nothing of a pytest that runs the bench itself."""


@dataclass(frozen=True, slots=True)
class Contenders:
    """All of them, over the same hosts."""

    sites: Sites
    forks: int
    environment: Mapping[str, str] = field(default_factory=_ENVIRONMENT.copy)

    def floor(self, hosts: Sequence[str]) -> Run:
        """Run paramiko alone."""
        file = self._folder("floor") / "hosts"
        file.write_text("\n".join(hosts))
        known, port = self.sites.known_hosts(), self.sites.port()
        words = [sys.executable, "-m", "bench.floor", known, self.sites.identity, port, self.forks, file]
        return self._visiting(hosts, words, ROOT)

    def suite(self, hosts: Sequence[str], *, direct: bool = False) -> Run:
        """Run the audit from its start until its last report; `direct`: without the round trip."""
        folder = self._folder("suite")
        words = [*_PYTEST, "-p", "bench.verdict_clock", f"--inventory={self.sites.inventory(hosts)}"]
        words += [f"--ssh-config={self.sites.ssh_config(direct=direct)}", f"--forks={self.forks}"]
        run = self._visiting(hosts, [*words, f"--report-dir={folder / 'reports'}"], ROOT, _JUDGED)
        return _judged(run, folder)

    def empty_items(self, items: int) -> Run:
        """Run pytest over empty tests."""
        folder = self._folder("empty")
        text = f"import pytest\n\n@pytest.mark.parametrize('n', range({items}))\ndef test_nothing(n): pass\n"
        (folder / "test_empty.py").write_text(text)
        usage = self._timed([*_PYTEST, *_ALONE, "test_empty.py"], folder)
        return Run(usage.seconds, usage.cpu_seconds, usage.peak_mb, results=items)

    def plain_testinfra(self, hosts: Sequence[str], backend: str) -> Run:
        """Run the same questions as a person writes them."""
        folder = self._folder("plain")
        shutil.copy(Path(__file__).with_name("plain_testinfra.py"), folder / "test_plain.py")
        words = [*_PYTEST, *_ALONE, "test_plain.py", f"--ssh-config={self.sites.ssh_config()}"]
        specs = ",".join(f"{backend}://root@{host}" for host in hosts)
        return self._visiting(hosts, [*words, f"--hosts={specs}"], folder)

    def ansible_script(self, hosts: Sequence[str]) -> Run:
        """Run the very same probe by Ansible's ad-hoc `script`."""
        folder = self._folder("ansible")
        probe = folder / "probe.sh"
        self._timed([sys.executable, "-m", "nested_kvm.evidence.probe"], ROOT, output=probe)
        words = [Path(sys.executable).with_name("ansible"), "all", f"--inventory={self.sites.ansible_inventory(hosts)}"]
        words += [f"--forks={self.forks}", "-m", "ansible.builtin.script", "-a", probe]
        run = self._visiting(hosts, words, folder)
        self._end_ansibles_masters()
        if (folder.parent / "output").read_text(errors="replace").count("nested-kvm-probe 1") < len(hosts):
            raise BenchError("Ansible ended well, but the probe did not answer on each host: is ansible-core whole?")
        return run

    def _end_ansibles_masters(self) -> None:
        """Cut the connections that Ansible keeps for a minute: the next round must begin without them."""
        for socket in (self.sites.folder / "home" / ".ansible" / "cp").glob("*"):
            words = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"]
            subprocess.run(words, env=dict(self.environment), capture_output=True, check=False)

    def _visiting(
        self, hosts: Sequence[str], words: Sequence[object], cwd: Path, expected: Collection[int] = (0,)
    ) -> Run:
        before, (hosts_before, proxy_before) = self.sites.log.stat().st_size, self._others_cpu()
        usage = self._timed(words, cwd, expected=expected)
        settle(self.sites.folder / HOSTS_PIDS)
        hosts_after, proxy_after = self._others_cpu()
        work = (hosts_after - hosts_before, proxy_after - proxy_before)
        with self.sites.log.open("rb") as log:
            log.seek(before)
            visits = Visits.parse(log.read().decode(errors="replace"), hosts)
        return Run.of(usage, visits, work, first_verdict=self._first_verdict(usage))

    def _others_cpu(self) -> tuple[float, float]:
        hosts, proxy = (cpu_seconds(self.sites.folder / name) for name in (HOSTS_PIDS, PROXY_PIDS))
        return hosts, proxy

    def _timed(
        self, words: Sequence[object], cwd: Path, *, output: Path | None = None, expected: Collection[int] = (0,)
    ) -> Usage:
        clock = self.sites.folder / "first-verdict"
        clock.unlink(missing_ok=True)
        return timed(
            [str(word) for word in words],
            output or self.sites.folder / "output",
            cwd=cwd,
            environment={**self.environment, _FIRST_VERDICT: str(clock)},
            expected=expected,
        )

    def _first_verdict(self, usage: Usage) -> float | None:
        clock = self.sites.folder / "first-verdict"
        return float(clock.read_text()) - usage.started if clock.exists() else None

    def _folder(self, name: str) -> Path:
        """Make an empty folder."""
        folder = self.sites.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def _judged(run: Run, folder: Path) -> Run:
    """Check the audit's results: measurements of hosts that it could not inspect are worth nothing."""
    document = json.loads((folder / "reports" / "latest" / "results.json").read_text())
    unseen = [target["error"] for target in document["targets"] if not target["observed"]]
    if unseen:
        raise BenchError(f"the audit could not inspect {plural(len(unseen), 'host')}: {unseen[0]}")
    return run.judged([result["outcome"] for result in document["results"]])


Measure = Callable[[], Run]
