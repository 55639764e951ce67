"""Takes a target's evidence from an earlier run where its digest shows that nothing has changed (`--since`)."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from nested_kvm.connection import Connection, Settings
from nested_kvm.errors import AnswerUnusable, EvidenceUnusable, NotObserved, SignatureRefused, UsageError
from nested_kvm.evidence.age import age_of
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import evidence_path, read_bundle
from nested_kvm.evidence.digest import take_digest
from nested_kvm.evidence.observe import observe
from nested_kvm.evidence.reading import Status
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.incremental import Incremental, TargetDigest
from nested_kvm.results.inputs import Input, InputKind
from nested_kvm.results.reader import Row, Unusable, path_of, rows_of
from nested_kvm.results.schema import ResultRow, RunPart, TargetRow
from nested_kvm.results.schema_file import checked
from nested_kvm.results.signed_run import signed_files
from nested_kvm.util.text import printable

DEFAULT_MAX_AGE: Final = timedelta(hours=24)
"""How old evidence may be that is taken from an earlier run, unless `--max-age` is given."""
_NAMED: Final = 5


@dataclass(slots=True)
class EarlierRun:
    """A run, as its results.json describes it, whose evidence may still hold."""

    path: Path
    """Resolved: a link to the latest run may move meanwhile."""
    max_age: timedelta
    is_complete: bool = False
    targets: dict[str, TargetRow] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)
    """The targets at which something could not be inspected, or was not decided."""

    def observe(self, target: Target, connection: Connection, settings: Settings) -> Bundle:
        """Return the evidence of this run where the target is unchanged since; else observe it.

        Raises:
            ObservationError: it could not be inspected.
        """
        digest: TargetDigest | None = None
        try:
            digest = take_digest(target, connection, settings)
            return self.evidence_of(target, digest, datetime.now(UTC))
        except (AnswerUnusable, EvidenceUnusable, NotObserved) as error:
            reason = printable(error) or "the target gave no reason"
        return replace(observe(target, connection, settings), incremental=Incremental(digest, reason))

    def evidence_of(self, target: Target, digest: TargetDigest, now: datetime) -> Bundle:
        """Return the evidence of a target that is shown to be unchanged, as the target is declared now.

        Raises:
            EvidenceUnusable: that is not shown, or the evidence is not whole; the message says why.
        """
        row = self._row(target)
        before = None if row.incremental is None else row.incremental.digest
        if before is None:
            raise EvidenceUnusable("there is no digest of it in the earlier run")
        changed = digest.differences(TargetDigest(before))
        if changed:
            raise EvidenceUnusable(f"changed: {', '.join(changed)}")
        bundle = self._bundle(row)
        age = age_of(bundle, now)
        if age > self.max_age:
            raise EvidenceUnusable("its evidence is older than --max-age allows")
        level = bundle.target.level if target.level is TargetLevel.AUTO else target.level
        return replace(bundle, target=replace(target, level=level), incremental=Incremental(digest, None))

    def _row(self, target: Target) -> TargetRow:
        row = self.targets.get(target.name)
        if not self.is_complete:
            raise EvidenceUnusable("the earlier run was not complete")
        if row is None or not row.observed:
            raise EvidenceUnusable("the earlier run did not inspect it")
        if target.name in self.undecided:
            raise EvidenceUnusable("the earlier run had an error or an unknown there")
        return row

    def _bundle(self, row: TargetRow) -> Bundle:
        folder = self.path.parent
        expected = evidence_path(folder / "evidence", row.name)
        if row.evidence is None or folder / row.evidence.file != expected:
            raise EvidenceUnusable("its evidence is not beside the earlier run's results")
        bundle = read_bundle(expected, row.evidence.sha256)
        if bundle.target.name != row.name or not _is_whole(bundle):
            raise EvidenceUnusable("its evidence is not whole")
        return bundle


def _is_whole(bundle: Bundle) -> bool:
    """Whether the target was inspected to the end, and nothing that was asked stayed without an answer."""
    libvirt = bundle.libvirt
    is_answered = libvirt is None or not (
        libvirt.refusal
        or libvirt.not_asked
        or libvirt.incomplete
        or any(each.problem or each.saved_problem or each.not_collected for each in libvirt.domains)
    )
    timed_out = any(each.status is Status.TIMED_OUT for each in bundle.readings.values())
    return bundle.is_observed and bundle.cut is None and bundle.origin is None and is_answered and not timed_out


def earlier_run(
    given: Path, max_age: timedelta, fleet: frozenset[str], allowed_signers: Path | None
) -> tuple[EarlierRun, Input]:
    """Read the results of an earlier run of this fleet; with `allowed_signers` one of them has to have signed it.

    Raises:
        UsageError: the file is not as a run writes it, is not signed as required, or is of another fleet.
    """
    named, hashed = path_of(given), sha256()
    run = EarlierRun(named.resolve(), max_age)
    try:
        signed = None if allowed_signers is None else signed_files(run.path.parent, allowed_signers)
        for row in rows_of(run.path, lambda _: None, hashed):
            _take(run, row)
        if signed is not None:
            signed.require(run.path.name, hashed.hexdigest())
    except (Unusable, SignatureRefused) as error:
        advice = "give the results.json of a run in its directory, or leave out --since to inspect every target"
        raise UsageError(f"--since: {named}: {error}; {advice}") from None
    if not fleet & run.targets.keys():
        known = ", ".join(printable(name, 60) for name in sorted(run.targets)[:_NAMED]) or "none at all"
        raise UsageError(f"--since: {named} is of another fleet: it has none of these targets (it has {known})")
    signer = None if signed is None else signed.signer
    return run, Input(InputKind.EVIDENCE, str(named), hashed.hexdigest(), signer)


def _take(run: EarlierRun, row: Row) -> None:
    if row.section == "run":
        run.is_complete = checked(RunPart, row).complete is True
    elif row.section == "targets":
        found = checked(TargetRow, row)
        if run.targets.setdefault(found.name, found) is not found:
            raise Unusable(f"{row.place}: has {printable(found.name)} a second time")
    elif row.section == "results":
        result = checked(ResultRow, row)
        if result.outcome in {Outcome.ERROR, Outcome.UNKNOWN}:
            run.undecided.add(result.target)
