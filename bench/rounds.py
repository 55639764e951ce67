"""In which order all is measured: round after round, so that a machine that slows down does so for all."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bench.contenders import Contenders
from bench.measurement import Figure, Run
from bench.options import Options

FLOOR, SUITE, EMPTY, ONE_HOST = "floor", "suite", "empty items", "one host"
PLAIN = {backend: f"plain Testinfra, {backend}" for backend in ("paramiko", "ssh")}
ANSIBLE = "Ansible script"

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Rounds:
    """Runs every contender as often as was asked for, and keeps what each took."""

    contenders: Contenders
    options: Options
    _runs: dict[Key, list[Run]] = field(default_factory=dict)

    def run(self) -> list[Figure]:
        """Warm up, and measure."""
        self._warm_up()
        for number in range(self.options.repeat):
            _say(f"round {number + 1} of {self.options.repeat}\n")
            self._one_round()
        return [Figure(name, hosts, tuple(runs)) for (name, hosts), runs in self._runs.items()]

    def _warm_up(self) -> None:
        """Let files be read and modules be compiled before anything counts."""
        first, made = self.contenders.sites.hosts[:1], self.contenders
        _told("warming up: floor", lambda: made.floor(first))
        _told("warming up: suite", lambda: made.suite(first))
        _told("warming up: empty items", lambda: made.empty_items(1))

    def _one_round(self) -> None:
        options, hosts, made = self.options, self.contenders.sites.hosts, self.contenders
        few, asked = hosts[: options.sample], hosts[: options.ansible_sample]
        self._keep(ONE_HOST, 1, lambda: made.suite(hosts[:1], direct=True))
        results = 0
        for size in (*options.growth, options.hosts):
            self._keep(FLOOR, size, partial(made.floor, hosts[:size]))
            results = self._keep(SUITE, size, partial(made.suite, hosts[:size])).results or 0
        self._keep(EMPTY, 0, lambda: made.empty_items(results))
        for backend, name in PLAIN.items():
            self._keep(name, len(few), partial(made.plain_testinfra, few, backend))
        self._keep(ANSIBLE, len(asked), lambda: made.ansible_script(asked))

    def _keep(self, name: str, hosts: int, measure: Callable[[], Run]) -> Run:
        run = _told(f"{name}{f', hosts: {hosts}' if hosts else ''}", measure)
        self._runs.setdefault((name, hosts), []).append(run)
        return run


def _told(what: str, measure: Callable[[], Run]) -> Run:
    """Say what is measured before it is, and how long it took."""
    _say(f"  {what} … ")
    run = measure()
    _say(f"{run.seconds:.1f} s\n")
    return run


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
