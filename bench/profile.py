"""A profile of the audit after its targets have answered.

    python -m bench.profile [HOSTS]

Judges the recorded evidence of 200 hosts with a guest each, as `--evidence` does, and prints seconds by phase and by
module. Each module's are its own (what it calls is charged to that), and a profiler makes many small calls dearer
than they are: compare shares, and measure seconds with `python -m bench`.
"""

import json
import os
import pstats
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

from bench.options import ROOT
from tests.support.large_fleet import write_fleet
from tests.support.suite import command_line, environment

HOSTS: Final = 200
_ROWS: Final = 20
_STDLIB: Final = Path(sysconfig.get_path("stdlib"))
_PHASES: Final = {
    "reading the command line, the plugins and the options": "_pytest/config/__init__.py:_prepareconfig",
    "checking what was asked for": "nested_kvm/plugin/hooks.py:pytest_cmdline_main",
    "observing (here: saved evidence)": "nested_kvm/plugin/hooks.py:pytest_collection",
    "making the items": "_pytest/main.py:perform_collect",
    "judging them": "_pytest/main.py:pytest_runtestloop",
    "… of that: judging, and making results": "nested_kvm/plugin/control_item.py:_reports",
    "writing the reports": "nested_kvm/plugin/hooks.py:pytest_sessionfinish",
}
"""The function of each phase; the phase includes everything that it calls."""

Key = tuple[str, int, str]
Statistics = Mapping[Key, tuple[int, int, float, float, Any]]
"""As pstats keeps them: calls, primitive calls, own seconds, seconds with all that it calls."""


def main(hosts: int) -> None:
    """Profile one run, and print two tables."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        print(f"writing the evidence of {hosts} hosts, and judging it under a profiler …", file=sys.stderr)
        write_fleet(folder / "evidence", hosts)
        statistics = profiled(folder)
        results = json.loads((folder / "reports" / "latest" / "results.json").read_text())["results"]
    print(f"{hosts} hosts with a guest each, {len(results)} results")
    for title, rows in (("by phase", by_phase(statistics)), ("by module, own time", by_module(statistics))):
        print(f"\n{title}")
        for label, seconds in rows.items():
            print(f"  {seconds:7.2f} s  {label}")
    print(f"\nload of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


def profiled(folder: Path) -> Statistics:
    """Evaluate the evidence in a separate process, under cProfile."""
    _, _, _, *words = command_line(f"--evidence={folder / 'evidence'}", report_dir=folder / "reports")
    command = [sys.executable, "-m", "cProfile", "-o", str(folder / "profile"), "-m", "pytest", *words]
    subprocess.run(
        command, cwd=ROOT, env=environment(folder), stdout=subprocess.DEVNULL, check=False
    )  # it has findings
    return cast("Any", pstats.Stats(str(folder / "profile"))).stats  # type: ignore[no-any-return]


def by_phase(statistics: Statistics) -> dict[str, float]:
    """Seconds of each phase, with all that it calls."""
    found = {label: _seconds(statistics, place) for label, place in _PHASES.items()}
    return {**found, "all, imports too": sum(each[2] for each in statistics.values())}


def by_module(statistics: Statistics) -> dict[str, float]:
    """Seconds of each module's own functions; of a library, of all its modules together."""
    own: Counter[str] = Counter()
    for (file, _, _), (_, _, seconds, _, _) in statistics.items():
        own[_module(file)] += seconds  # type: ignore[assignment]  # a Counter may hold fractions
    return dict(cast("Any", own.most_common(_ROWS)))


def _seconds(statistics: Statistics, place: str) -> float:
    file, _, function = place.rpartition(":")
    return max((each[3] for key, each in statistics.items() if key[0].endswith(file) and key[2] == function), default=0)


def _module(file: str) -> str:
    path = Path(file)
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1]
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    if path.is_relative_to(_STDLIB):
        return f"Python's {path.relative_to(_STDLIB).parts[0].removesuffix('.py')}"
    return "Python's imports" if "importlib" in file else "Python's C code"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else HOSTS)
