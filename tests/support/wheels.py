"""The locked wheels for another Python than the one that runs the tests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def step(*command: object, folder: Path = ROOT) -> None:
    """Prepare a test; what cannot be downloaded is a reason to skip, but not in CI."""
    answer = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return
    reason = f"{command[0]}: {answer.stderr.strip()[-300:]}"
    pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


def download(lock: str, version: str, folder: Path) -> None:
    """Download what a lock file pins, as wheels for that CPython."""
    chosen = folder / f"{lock}.txt"
    chosen.write_text("\n".join(_for_python((ROOT / lock).read_text(), version)))
    target = (f"--python-version={version}", "--implementation=cp", "--only-binary=:all:")
    pip = (sys.executable, "-m", "pip", "download", "-q", *target, "--no-deps", "--require-hashes")
    step(*pip, "-d", folder, "-r", chosen)
    chosen.unlink()


def _for_python(lock: str, version: str) -> Iterator[str]:
    """The lines of a lock for that Python: pip evaluates their conditions for the Python that runs it."""
    environment = {"python_version": version, "python_full_version": f"{version}.0"}
    wanted = True
    for line in lock.splitlines():
        begins = line[:1].isalpha()
        pin = line.removesuffix(" \\")
        if begins:
            marker = Requirement(pin).marker
            wanted = marker is None or marker.evaluate(environment)
        if wanted:
            yield pin.partition(" ; ")[0] + " \\" if begins else line
