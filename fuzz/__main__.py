"""Run the harnesses one after the other: `python -m fuzz [--seconds=60] [HARNESS …]`. See `make fuzz`."""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from fuzz.harnesses import FOLDER, HARNESSES

WORK = Path("build/fuzz")
"""Inputs that were found stay here, so that the next run begins where this one ended."""
_LIMITS = ("-timeout=10", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=1", "-verbosity=0")


def _corpus(name: str) -> Path:
    folder = WORK / name / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    for seed in HARNESSES[name].seeds():
        (folder / sha256(seed).hexdigest()).write_bytes(seed)
    return folder


def _fuzz(name: str, seconds: int) -> int:
    folder = WORK / name
    words = [str(_corpus(name)), f"-max_total_time={seconds}", f"-artifact_prefix={folder}/", *_LIMITS]
    environment = {**os.environ, "FUZZ_FOLDER": str(FOLDER)}
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "fuzz.one", name, *words]
        status = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False).returncode  # noqa: S603 - ourselves
    text = (folder / "log").read_text(errors="replace")
    figures = dict(re.findall(r"stat::(\w+): +(\d+)", text))
    runs, memory = figures.get("number_of_executed_units", "?"), figures.get("peak_rss_mb", "?")
    print(f"{name}: {'passed' if status == 0 else 'FAILED'}, {runs} inputs, peak {memory} MB", flush=True)
    if status != 0:
        print(f"  see {folder}/log, and the input beside it")
    return status


def main(words: Sequence[str] | None = None) -> int:
    """Fuzz each harness for that long; 1 where one of them failed."""
    parser = argparse.ArgumentParser("python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, metavar="S", help="for each harness (default: 60)")
    parser.add_argument("harnesses", nargs="*", metavar="HARNESS", help=f"of {', '.join(HARNESSES)} (default: all)")
    given = parser.parse_args(words)
    unknown = set(given.harnesses) - HARNESSES.keys()
    if unknown:
        parser.error(f"no harness: {', '.join(sorted(unknown))}")
    statuses = [_fuzz(name, given.seconds) for name in given.harnesses or HARNESSES]
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main())
