"""Merges several runs into one: their results stay as recorded, and missing parts are stated."""

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, cast

from nested_kvm.errors import SignatureRefused, UsageError
from nested_kvm.merging.fleet import MergedFleet
from nested_kvm.merging.stored_results import StoredResults
from nested_kvm.merging.waivers_and_drift import ForeignFindings, MergedDrift, MergedWaivers
from nested_kvm.results.diagnosis import Diagnosis
from nested_kvm.results.exposure import HostExposure
from nested_kvm.results.inputs import Input, InputKind, Inputs
from nested_kvm.results.nesting_answer import NestingAnswer
from nested_kvm.results.problem_schema import AnswerRow, ProblemRow
from nested_kvm.results.problems import problems_of
from nested_kvm.results.reader import Row, Tell, Unusable, path_of, rows_of
from nested_kvm.results.run import INCOMPLETE, ExitStatus, Run, TargetResult, hosts_and_their_guests
from nested_kvm.results.schema import ResultRow, RunPart, TargetRow
from nested_kvm.results.schema_file import (
    DiagnosisRow,
    DriftPart,
    ExposureRow,
    PastRow,
    PastState,
    VanishedRow,
    WaiverUseRow,
    checked,
)
from nested_kvm.results.scope import NotAsked
from nested_kvm.results.signed_run import signed_files
from nested_kvm.util.text import first_of, printable
from nested_kvm.version import VERSION

_JUDGED: Final = frozenset({ExitStatus.COMPLIANT, ExitStatus.FINDING, ExitStatus.NOT_OBSERVED})
"""Exit statuses with which a run of an older version, which did not record whether it is complete, is."""
_COMPLETE: Final = _JUDGED | {ExitStatus.USAGE}
"""Exit statuses of complete runs: in a shard, no control may apply to anything, which is exit status 4."""
_TARGETS: Final = 500_000
"""Targets of all runs, at most: they are kept in memory."""
_NAMED: Final = 20
"""Incomplete runs that are named, at most."""


def merged_run(folders: Sequence[Path], results: StoredResults, tell: Tell, allowed_signers: Path | None = None) -> Run:
    """Read the runs of these folders, and merge them; the results are in `results`.

    With `allowed_signers` each has to be signed by one of them.

    Raises:
        UsageError: a file is not as a run writes it, is not signed as required, or the runs do not fit together; the
            message names the file.
    """
    merging = _Merging(results, allowed_signers)
    for folder in folders:
        merging.read(path_of(folder), tell)
    results.seal()
    try:
        run = merging.run()
    except Unusable as error:
        raise UsageError(f"--merge: {error}") from None
    run.problems = problems_of(run)
    return run


@dataclass(slots=True)
class _File:
    """One run while it is read."""

    path: Path
    is_shard: bool = False
    drift: DriftPart | None = None
    diagnosed: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    exposed: set[str] = field(default_factory=set)
    foreign: ForeignFindings = field(default_factory=Counter)
    vanished: set[str] = field(default_factory=set)


class _Merging:
    def __init__(self, results: StoredResults, allowed_signers: Path | None) -> None:
        self._results = results
        self._allowed_signers = allowed_signers
        self._inputs = Inputs()
        self._fleet = MergedFleet()
        self._waivers = MergedWaivers()
        self._drift = MergedDrift()
        self._runs: list[RunPart] = []
        self._cut: list[Path] = []
        self._targets: list[TargetResult] = []
        self._diagnoses: list[Diagnosis] = []
        self._answers: list[NestingAnswer] = []
        self._exposures: list[HostExposure] = []
        self._owed: int | None = 0
        self._not_asked: list[NotAsked] = []
        self._decides: set[bool] = set()
        """Whether the runs ask what decides compliance; both: they were asked different questions."""

    def read(self, path: Path, tell: Tell) -> None:
        """Add one run.

        Raises:
            UsageError: it is not as a run writes it, or does not fit the ones before.
        """
        file, digest = _File(path), sha256()
        try:
            signed = None if self._allowed_signers is None else signed_files(path.parent, self._allowed_signers)
            for row in rows_of(path, tell, digest):
                _TAKEN_BY[row.section](self, file, row)
            if signed is not None:
                signed.require(path.name, digest.hexdigest())
            who = None if signed is None else signed.signer
            self._inputs.note(Input(InputKind.RESULTS, str(path), digest.hexdigest(), who))
            if file.drift is None:
                self._drift.skip(path)
            else:
                self._drift.add(path, file.drift, file.foreign, file.vanished)
        except (Unusable, SignatureRefused) as error:
            raise UsageError(f"--merge: {path}: {error}") from None

    def run(self) -> Run:
        """Return the merged run.

        Raises:
            Unusable: the shards are not the fleet that was split.
        """
        gaps = [*self._fleet.missing_shards(), *_incomplete(self._cut)]
        inventories = {run.inventory for run in self._runs}
        return Run(
            id=str(uuid.uuid4()),
            started=min(run.started for run in self._runs),
            finished=max(run.finished for run in self._runs),
            version=VERSION,
            inventory=inventories.pop() if len(inventories) == 1 else "--merge",
            complete=not gaps,
            gaps=gaps,
            owed=self._owed,
            not_asked=self._not_asked,
            not_audited=tuple(dict.fromkeys(line for run in self._runs for line in run.not_audited)),
            candidates=_candidates(self._runs[0]),
            targets=sorted(self._targets, key=hosts_and_their_guests),
            results=self._results,
            diagnoses=sorted(self._diagnoses, key=lambda each: each.target),
            answers=sorted(self._answers, key=lambda each: each.target),
            exposures=sorted(self._exposures, key=lambda each: each.target),
            advisories_dated=min((each.advisories_dated for each in self._runs if each.advisories_dated), default=None),
            inputs=self._inputs.all(),
            waivers=self._waivers.uses(len(self._runs)),
            drift=self._drift.summary(self._fleet.knows),
        )

    def take_run(self, file: _File, row: Row) -> None:
        part = checked(RunPart, row)
        self._take_candidate(part)
        self._runs.append(part)
        if part.shard is not None:
            self._fleet.take_shard(file.path, part.shard.shard())
            file.is_shard = True
        self._take_asked(part)
        # A narrowed run is not complete either; what it left out is recorded, and the merged run is narrowed as well.
        is_partial = part.asked is not None and bool(part.asked.not_asked)
        is_complete = part.exit_status in _JUDGED if part.complete is None else part.complete or is_partial
        if not is_complete or part.exit_status not in _COMPLETE:
            self._cut.append(file.path)

    def _take_candidate(self, part: RunPart) -> None:
        if self._runs and _candidates(part) != _candidates(self._runs[0]):
            asked = [
                f"the domain {printable(', '.join(names))!r}" if names else "the fleet"
                for names in (_candidates(part), _candidates(self._runs[0]))
            ]
            raise Unusable(
                f"run.candidate: this run asked of {asked[0]}, an earlier one of {asked[1]}: merge one question"
            )

    def _take_asked(self, part: RunPart) -> None:
        # What was left out is recorded; where nothing was, and nothing decides, the question was another one.
        if part.asked is not None and part.asked.owed and (part.asked.decides or not part.asked.not_asked):
            self._decides.add(part.asked.decides)
        if len(self._decides) > 1:
            raise Unusable("run.asked: one of these runs asked only whether an L2 runs: merge one question")
        if part.asked is None or part.asked.owed is None:
            self._owed = None
        elif self._owed is not None:
            self._owed += part.asked.owed
        if part.asked is not None:
            self._not_asked += [NotAsked(e.control, e.target, e.subject, e.reason) for e in part.asked.not_asked]

    def take_target(self, file: _File, row: Row) -> None:
        target = checked(TargetRow, row).target()
        if len(self._targets) >= _TARGETS:
            raise Unusable(f"{row.place}: these runs have more than {_TARGETS:,} targets")
        self._fleet.take_target(file.path, target.name, of_shard=file.is_shard)
        self._targets.append(target)

    def take_result(self, file: _File, row: Row) -> None:
        result = checked(ResultRow, row).result()
        self._see_its_target(file, row, result.target)
        self._results.add(result)

    def take_diagnosis(self, file: _File, row: Row) -> None:
        diagnosis = checked(DiagnosisRow, row).diagnosis()
        self._see_its_target(file, row, diagnosis.target)
        if diagnosis.target in file.diagnosed:
            raise Unusable(f"{row.place}.target: there are two diagnoses of {printable(diagnosis.target)!r}")
        file.diagnosed.add(diagnosis.target)
        self._diagnoses.append(diagnosis)

    def take_answer(self, file: _File, row: Row) -> None:
        answer = checked(AnswerRow, row).answer()
        self._see_its_target(file, row, answer.target)
        if answer.target in file.answered:
            raise Unusable(f"{row.place}.target: there are two answers for {printable(answer.target)!r}")
        file.answered.add(answer.target)
        self._answers.append(answer)

    def take_problem(self, _file: _File, row: Row) -> None:
        """Check a problem and leave it: those of the merged run are made of its findings again."""
        checked(ProblemRow, row)

    def take_exposure(self, file: _File, row: Row) -> None:
        exposure = checked(ExposureRow, row).exposure()
        self._see_its_target(file, row, exposure.target)
        if exposure.target in file.exposed:
            raise Unusable(f"{row.place}.target: there are two exposures of {printable(exposure.target)!r}")
        file.exposed.add(exposure.target)
        self._exposures.append(exposure)

    def take_waiver(self, _file: _File, row: Row) -> None:
        self._waivers.add(checked(WaiverUseRow, row).use())

    def take_drift(self, file: _File, row: Row) -> None:
        file.drift = None if row.value is None else checked(DriftPart, row)

    def take_past(self, file: _File, row: Row) -> None:
        finding = checked(PastRow, row).finding()
        state = cast("PastState", row.section.removeprefix("drift."))
        if self._fleet.has(file.path, finding.target):
            self._drift.settle(state, finding)
        else:
            file.foreign[state, finding] += 1

    def take_vanished(self, file: _File, row: Row) -> None:
        file.vanished.add(checked(VanishedRow, Row(row.section, row.place, {"name": row.value})).name)

    def _see_its_target(self, file: _File, row: Row, target: str) -> None:
        if not self._fleet.has(file.path, target):
            raise Unusable(f"{row.place}.target: {printable(target)!r} is not one of this run's targets")


_TAKEN_BY: Final[dict[str, Callable[[_Merging, _File, Row], None]]] = {
    "run": _Merging.take_run,
    "targets": _Merging.take_target,
    "results": _Merging.take_result,
    "diagnoses": _Merging.take_diagnosis,
    "answers": _Merging.take_answer,
    "problems": _Merging.take_problem,
    "exposures": _Merging.take_exposure,
    "waivers": _Merging.take_waiver,
    "drift": _Merging.take_drift,
    "drift.fixed": _Merging.take_past,
    "drift.gone": _Merging.take_past,
    "drift.unjudged": _Merging.take_past,
    "drift.vanished": _Merging.take_vanished,
}


def _incomplete(cut: Sequence[Path]) -> list[str]:
    return first_of([f"{path}: {INCOMPLETE}" for path in cut], _NAMED, "run")


def _candidates(part: RunPart) -> tuple[str, ...]:
    """The guests of which alone the run asked; an older version names one at most."""
    return tuple(part.candidates or ([] if part.candidate is None else [part.candidate]))


def _place(target: TargetResult) -> tuple[str, bool, str]:
    """Each host, then its guests."""
    return target.host or target.name, target.host is not None, target.name
