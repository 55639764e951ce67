"""The bench itself, within the namespaces that `python -m bench` makes for it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.contenders import Contenders
from bench.description import machine, method
from bench.endpoints import Sites, addresses
from bench.errors import BenchError
from bench.measurement import Figure
from bench.namespace import WORK, bring_loopback_up
from bench.options import ROOT, Options
from bench.ratios import Ratio, ratios
from bench.rounds import Rounds
from bench.table import table, targets


def main(options: Options) -> None:
    """Bring up the hosts, measure, print, and keep."""
    before, started = os.getloadavg(), datetime.now(UTC)
    for name in ("home", "tmp"):
        (WORK / name).mkdir()
    bring_loopback_up()
    with estate(options) as sites:
        figures = Rounds(Contenders(sites, options.forks), options).run()
    found = ratios(figures, options.hosts)
    load = {"before": list(before), "after": list(os.getloadavg())}
    described = machine()
    kept = keep(options, started, {"machine": described, "load": load}, figures, found)
    print("", *table(figures), "", *targets(found), "", sep="\n")
    print(f"{described['cpu']}, {described['cpus']} CPUs, Linux {described['kernel']}, Python {described['python']}")
    print(f"load of this machine: {load['before'][0]:.1f} before, {load['after'][0]:.1f} after")
    print(f"kept in {kept}")


@contextmanager
def estate(options: Options) -> Iterator[Sites]:
    """Have the hosts up.

    Raises:
        BenchError: they do not come up; their own words are printed.
    """
    command = [sys.executable, "-m", "bench.estate", str(options.hosts), str(options.rtt_ms)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise BenchError("the hosts do not come up: what was said is above")
        yield Sites(WORK, addresses(options.hosts), options.rtt_ms)
    finally:
        process.kill()
        process.wait()


def keep(
    options: Options, started: datetime, conditions: dict[str, Any], figures: list[Figure], found: list[Ratio]
) -> Path:
    """Write the results.

    Raises:
        BenchError: they cannot be written.
    """
    document = {
        "schema": 1,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": _asked(options),
        "method": method(options),
        **conditions,
        "figures": [each.as_json() for each in figures],
        "ratios": [each.as_json() for each in found],
    }
    path = options.output / f"{started:%Y%m%dT%H%M%SZ}.json"
    try:
        path.write_text(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise BenchError(f"--output: {error.filename}: {error.strerror}: name a folder that can be written") from None
    return path


def _asked(options: Options) -> dict[str, Any]:
    names = ("hosts", "rtt_ms", "forks", "sample", "ansible_sample", "repeat")
    return {**{name: getattr(options, name) for name in names}, "growth": list(options.growth)}


if __name__ == "__main__":
    tempfile.tempdir = str(WORK / "tmp")
    try:
        main(Options.of(sys.argv[1:]))
    except BenchError as error:
        sys.exit(f"bench: {error}")
