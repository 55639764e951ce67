"""What `--evidence` names: a directory of evidence files, a support archive, or a folder of both."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from nested_kvm.errors import EvidenceUnusable, FileUnusable, UsageError
from nested_kvm.evidence.archive.recognized import is_archive_folder, is_archive_name
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import WrittenFile, unusable_bundle
from nested_kvm.evidence.pending import NAME, read_evidence
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.digest import sha256_of
from nested_kvm.util.text import printable

_DIGEST_LIMIT = 16 * 1024**3
"""Bytes: no sosreport is that large."""


def is_archive(path: Path) -> bool:
    """Whether the path itself is a support archive: any file, or a folder that one was unpacked to."""
    return path.is_file() or is_archive_folder(path)


def archives_in(path: Path) -> list[Path]:
    """The support archives that a path names: itself, or those in the folder."""
    if is_archive(path):
        return [path]
    entries = sorted(path.iterdir()) if path.is_dir() else []
    return [each for each in entries if is_archive_folder(each) or (is_archive_name(each.name) and not each.is_dir())]


def refuse_run_folder(path: Path) -> None:
    """Refuse the folder of a run in place of the evidence in it: its reports would be taken for evidence.

    Raises:
        UsageError: it is such a folder.
    """
    if (path / "results.json").is_file() and (path / "evidence").is_dir():
        raise UsageError(f"--evidence: {path} is the folder of a run: give {path / 'evidence'}")


def read_saved(path: Path, written: Mapping[str, WrittenFile] | None = None) -> Iterator[Bundle]:
    """Read all evidence that a path names; an unusable file or archive yields a bundle with a failure.

    `written`: see `read_bundles`. An archive was never written by a run, so beside such evidence it is unusable.

    Raises:
        UsageError: the path does not exist or has no evidence, or two of its files are for the same target.
    """
    archives = archives_in(path)
    origins: dict[str, str] = {}
    for origin, bundle in _all(path, archives, written):
        name = bundle.target.name
        if origins.setdefault(name, origin) != origin:
            raise UsageError(
                f"--evidence: {printable(origins[name])} and {printable(origin)} are both for {printable(name)}: "
                "give one of them"
            )
        yield bundle


def _all(path: Path, archives: list[Path], written: Mapping[str, WrittenFile] | None) -> Iterator[tuple[str, Bundle]]:
    if not archives or (not is_archive(path) and (any(path.glob("*.json")) or (path / NAME).exists())):
        yield from (("the evidence files", bundle) for bundle in read_evidence(path, written))
    for archive in archives:
        yield from ((archive.name, bundle) for bundle in _of_archive(archive, written))


def _of_archive(path: Path, written: Mapping[str, WrittenFile] | None) -> Iterator[Bundle]:
    from nested_kvm.evidence.archive.archives import bundles_of_archive  # noqa: PLC0415 - only an archive needs its readers

    if written is not None:
        added = EvidenceUnusable(f"{printable(path.name)} was added after its run: results.json does not name it")
        yield _unusable(path, added)
        return
    try:
        digest = sha256_of(path, _DIGEST_LIMIT) if path.is_file() else None
        yield from (replace(bundle, file_sha256=digest) for bundle in list(bundles_of_archive(path)))
    except FileUnusable as error:
        yield _unusable(path, EvidenceUnusable(f"{printable(path.name)}: {error}"))
    except EvidenceUnusable as error:
        yield _unusable(path, error)


def _unusable(path: Path, error: EvidenceUnusable) -> Bundle:
    target = Target(
        printable(path.name, 200), TargetLevel.AUTO, Address(f"archive://{printable(path.name)}", "evidence"), Policy()
    )
    return unusable_bundle(target, error)
