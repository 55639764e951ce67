"""`nested-kvm verify`: whether a run is as an allowed signer signed it."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from nested_kvm.errors import SignatureRefused, UsageError
from nested_kvm.results.signed_run import SignedRun, verified_run
from nested_kvm.util.text import plural, printable
from nested_kvm.util.times import iso_time

_REFUSED: Final = 1


def verify(folder: Path, allowed_signers: Path, max_age: timedelta | None = None) -> int:
    """Print who signed a run and what differs from what was signed, and return the exit status: 0 where nothing does.

    A run that started before `max_age` is refused: an earlier one, correctly signed, may have been put in place of the
    latest.

    Raises:
        UsageError: the directory, the file of allowed signers or ssh-keygen cannot be used.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: is not a directory: give the folder of a run")
    try:
        run = verified_run(folder, allowed_signers)
    except SignatureRefused as error:
        sys.stdout.write(f"NOT VERIFIED: {printable(error, 1000)}\n")
        return _REFUSED
    problems = [*run.problems, *_too_old(run, max_age)]
    for problem in problems:
        sys.stdout.write(f"{printable(problem, 1000)}\n")
    word = "NOT VERIFIED: not as" if problems else "VERIFIED: all files are as"
    head = run.described
    times = f"started {iso_time(head.started)}, finished {iso_time(head.finished)}"
    line = f"{word} {run.signer} signed them: run {head.id}, {times}, of {head.inventory}, {plural(run.files, 'file')}"
    sys.stdout.write(f"{printable(line, 1000)}\n")
    return _REFUSED if problems else 0


def _too_old(run: SignedRun, max_age: timedelta | None) -> Iterator[str]:
    started = run.described.started
    if max_age is not None and datetime.now(UTC) - started.astimezone(UTC) > max_age:
        yield f"results.json: the run started at {iso_time(started)}, longer ago than --max-age allows"
