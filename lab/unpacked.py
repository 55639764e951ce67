"""Packages of a Debian release, unpacked into a directory: nothing of them is configured, and no root is needed."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from lab import needs
from lab.errors import BuildError

ROOM_GIB = 0.5


def unpack(
    release: str,
    packages: Sequence[str],
    directory: Path,
    *,
    sources: str,
    finish: Callable[[Path], None] = lambda _: None,
) -> None:
    """Unpack packages and what they need under a temporary name, which is replaced once all is there.

    Args:
        release: the name of the release.
        packages: the names of the packages.
        directory: where they are to be.
        sources: the lines of apt's sources.list.
        finish: what else has to be done in the directory before it counts as whole.

    Raises:
        BuildError: they cannot be had.
        NeedsError: there is no room, or mmdebstrap is missing.
    """
    work = directory.with_suffix(".tmp")
    for stale in (work, directory):
        shutil.rmtree(stale, ignore_errors=True)
    work.parent.mkdir(parents=True, exist_ok=True)
    needs.require_room(work.parent, ROOM_GIB)
    command = [needs.program("mmdebstrap"), "--mode=unshare" if os.geteuid() else "--mode=root"]
    command += ["--variant=extract", f"--include={','.join(packages)}", '--aptopt=Acquire::Retries "3"']
    done = subprocess.run(
        [*command, release, str(work), "-"],
        input=sources,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["no reason given"]
        raise BuildError(f"{', '.join(packages)} of Debian {release} cannot be unpacked: {reasons[-1]}")
    finish(work)
    work.rename(directory)
