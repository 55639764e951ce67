"""Where a run leaves its reports: a directory of its own, and `latest` pointing to it."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

from nested_kvm.errors import UsageError


class RunDirectory:
    """`<report-dir>/<UTC time>/`, made at once, so that a directory that cannot be written ends the run early."""

    def __init__(self, parent: Path, started: datetime) -> None:
        self.parent = parent
        self.path = self._make(started.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"))
        self.evidence = self.path / "evidence"
        self.evidence.mkdir()

    def _make(self, name: str) -> Path:
        """Make the directory; a second run in the same second gets a number behind its time."""
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            for candidate in (name, *(f"{name}.{number}" for number in range(2, 1000))):
                path = self.parent / candidate
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
                return path
        except OSError as error:
            raise UsageError(f"--report-dir: {error.filename or self.parent}: {error.strerror}") from None
        raise UsageError(f"--report-dir: {self.parent / name} is there a thousand times")

    def point_latest_here(self) -> None:
        """Move `latest` in one step. A directory of that name, which is not ours, stays."""
        latest = self.parent / "latest"
        if latest.is_dir() and not latest.is_symlink():
            return
        beside = self.parent / f".latest.{secrets.token_hex(8)}"
        beside.symlink_to(self.path.name)
        beside.replace(latest)
