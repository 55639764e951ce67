"""The directory of a run's reports, and the link `latest` that points to it."""

import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from nested_kvm.errors import FileUnusable, UsageError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import evidence_path, write_bundle
from nested_kvm.evidence.pending import announce, withdraw
from nested_kvm.inventory.target import Inventory
from nested_kvm.results.checksums import SIGNATURE, SUMS, checksums_text, parse_checksums
from nested_kvm.results.run import EvidenceFile, Run
from nested_kvm.util.files import write_pieces_atomically


class RunDirectory:
    """`<report-dir>/<UTC time>/`, created at once, so that a directory that cannot be written ends the run early."""

    def __init__(self, parent: Path, started: datetime, *, with_evidence: bool = True) -> None:
        self.parent = parent
        self._kept: dict[str, EvidenceFile] = {}
        latest = parent / "latest"
        if latest.is_dir() and not latest.is_symlink():
            # A copy of the link, say: it would stay as it is, and be taken for this run's result.
            raise UsageError(f"--report-dir: {latest} is a directory, not a link to a run: remove or rename it")
        with self._as_usage_error():
            self.path = self._make(started.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"))
            self._evidence = self.path / "evidence"
            if with_evidence:
                self._evidence.mkdir()

    def keep(self, bundle: Bundle) -> None:
        """Write a target's evidence.

        Raises:
            UsageError: it cannot be written.
        """
        with self._as_usage_error():
            path = write_bundle(self._evidence, bundle)
            digest = sha256(path.read_bytes()).hexdigest()
        name = path.relative_to(self.path).as_posix()
        self._kept[bundle.target.name] = EvidenceFile(name, digest, bundle.file_sha256)

    def evidence_of(self, target: str) -> EvidenceFile | None:
        """Return the file with the evidence of a target; None: there is none."""
        return self._kept.get(target)

    @contextmanager
    def awaiting(self, inventory: Inventory) -> Iterator[None]:
        """Wrap the observation of all targets: a run that is killed in it leaves evidence that states what is missing.

        Raises:
            UsageError: it cannot be written.
        """
        with self._as_usage_error():
            announce(self._evidence, inventory)
        yield
        with self._as_usage_error():
            withdraw(self._evidence)

    def keep_missing(self, bundles: Iterable[Bundle]) -> None:
        """Write the evidence of targets that have none yet.

        Raises:
            UsageError: it cannot be written.
        """
        for bundle in bundles:
            if not evidence_path(self._evidence, bundle.target.name).exists():
                self.keep(bundle)

    @contextmanager
    def complete(self) -> Iterator[None]:
        """Wrap the writing of all reports: either all are there and `latest` points to them, or none is.

        The evidence stays, so that the run can be re-evaluated.

        Raises:
            UsageError: one cannot be written.
        """
        try:
            with self._as_usage_error():
                yield
                self._point_latest_here()
        except BaseException:
            self._discard_reports()
            raise

    def write(self, name: str, pieces: Iterable[str]) -> None:
        """Write one report, atomically."""
        write_pieces_atomically(self.path / name, pieces)

    def seal(self, run: Run, sign: Callable[[bytes], bytes | None]) -> None:
        """Write the digest of every file of the run, and the signature of these digests where `sign` makes one.

        Raises:
            UsageError: it cannot be read, written or signed.
        """
        try:
            text = checksums_text(self.path, run.id, run.started, run.finished)
            self._require_evidence_as_written(parse_checksums(text))
        except FileUnusable as error:
            raise UsageError(f"--report-dir: {self.path}: {error}") from None
        signature = sign(text.encode())
        self.write(SUMS, [text])
        if signature is not None:
            self.write(SIGNATURE, [signature.decode("ascii")])

    def _require_evidence_as_written(self, digests: Mapping[str, str]) -> None:
        for kept in self._kept.values():
            if digests.get(kept.file) != kept.sha256:
                raise FileUnusable(f"{kept.file} was changed before the run ended")

    def _make(self, name: str) -> Path:
        """Create the directory; a second run in the same second gets a number after its time."""
        self.parent.mkdir(parents=True, exist_ok=True)
        for candidate in (name, *(f"{name}.{number}" for number in range(2, 1000))):
            path = self.parent / candidate
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
        raise UsageError(f"--report-dir: {self.parent / name} exists a thousand times")

    def _point_latest_here(self) -> None:
        """Move `latest` in one step."""
        beside = self.parent / f".latest.{secrets.token_hex(8)}"
        beside.symlink_to(self.path.name)
        beside.replace(self.parent / "latest")

    def _discard_reports(self) -> None:
        with suppress(OSError):
            for path in self.path.iterdir():
                if path.is_dir() and path != self._evidence:
                    shutil.rmtree(path, ignore_errors=True)
                elif path.is_file():
                    path.unlink()
            if not self._evidence.exists():
                self.path.rmdir()

    @contextmanager
    def _as_usage_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(f"--report-dir: {error.filename or self.parent}: {error.strerror or error}") from None
