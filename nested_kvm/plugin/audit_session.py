"""One audit from its options to its reports."""

import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

import pytest
from typing_extensions import override

from nested_kvm.connection import check_settings, unlock_keys
from nested_kvm.controls.catalogue import SITE, DeclaredControl, own_controls
from nested_kvm.controls.diagnose import diagnose
from nested_kvm.controls.expose import exposures
from nested_kvm.controls.judge import CHECKS
from nested_kvm.controls.nesting_answers import nesting_answers
from nested_kvm.controls.owed import OwedResults
from nested_kvm.errors import SignatureRefused, UsageError
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Subject
from nested_kvm.inventory.estate import ESTATE_FILE
from nested_kvm.model.control import Control, ControlDefinitionError
from nested_kvm.model.verdict import Outcome
from nested_kvm.plugin.audit import Audit
from nested_kvm.plugin.budget import EvaluationBudget
from nested_kvm.plugin.host_usage import may_ask_for_host
from nested_kvm.plugin.installed import working_folder
from nested_kvm.plugin.items import MAINTENANCE
from nested_kvm.plugin.option_conflicts import only_lists
from nested_kvm.plugin.options import Options
from nested_kvm.plugin.session import SESSION, ReportingSession
from nested_kvm.reporting.progress import ObservationProgress
from nested_kvm.reporting.remediation_files import write_remediation
from nested_kvm.reporting.report_files import report_files
from nested_kvm.reporting.run_directory import RunDirectory
from nested_kvm.results.baseline import load_baseline
from nested_kvm.results.exit_status import exit_status
from nested_kvm.results.inputs import InputKind
from nested_kvm.results.problems import problems_of
from nested_kvm.results.reader import path_of
from nested_kvm.results.recorder import Ledger
from nested_kvm.results.run import Result, Run
from nested_kvm.results.scope import NOT_REACHED, RunScope
from nested_kvm.results.signed_run import SignedFiles, signed_files
from nested_kvm.results.waiver_file import load_waivers
from nested_kvm.results.waivers import Waivers
from nested_kvm.util.text import plural, printable
from nested_kvm.version import VERSION


class EarlyEvaluation(Protocol):
    """What evaluates the first targets while the last are observed."""

    def add(self, machine: Machine) -> list[str]:
        """Evaluate what this machine completes; return what is to be said about it, a line each."""

    def take(self, check: Any, subject: Subject, identifier: str) -> Result | None:
        """Return the result of a check for a subject, once; None: it was not evaluated."""


class AuditSession(ReportingSession):
    """A run that inspects targets, or evaluates their saved evidence."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config, Options.of(config))
        if self.options.evidence is None:
            check_settings(self.options.settings)
        self.audit = Audit(self.options, working_folder(config))
        self.run = Run(str(uuid.uuid4()), self.started, VERSION, self.audit.inventory.source, shard=self.audit.shard)
        self.ledger = self._open_ledger()
        self.only_lists = only_lists(config.option)
        self.owed = OwedResults()
        self.budget = EvaluationBudget()
        self._skipped_in_gate: set[str] = set()
        """The site's checks that a gate asked for, and that were skipped: they were not evaluated."""
        self._own = self._own_controls()
        self.evaluator: Callable[[AuditSession, list[DeclaredControl]], EarlyEvaluation] | None = None
        """Makes what evaluates the first targets while the last are observed; control_item.py sets it."""
        self._early: EarlyEvaluation | None = None

    def observe(self) -> None:
        """Inspect every target, show progress, and save the evidence of each at once.

        What does not depend on targets that have not answered yet is evaluated meanwhile.

        Where items are only listed nothing is connected to: they are those of the targets that the inventory names.

        Raises:
            UsageError: evidence cannot be written.
        """
        if self.only_lists and self.options.evidence is None:
            return
        if self.options.evidence is None:
            with self.uncaptured():
                unlock_keys(self.audit.addresses(), self.options.settings)
        if self.evaluator is not None and self._may_evaluate_early():
            self._early = self.evaluator(self, self._asked_controls())
        try:
            with nullcontext() if self.directory is None else self.directory.awaiting(self.audit.inventory):
                self._observe_all()
        except UsageError as error:
            self.state.unusable = error
            raise
        self._owe()

    def _owe(self) -> None:
        """Know what must be evaluated before anything is: from the catalogue and the fleet, not from pytest."""
        fleet = self.audit.fleet
        self.owed.add([each.control for each in self._asked_controls()], fleet)
        if not self._asks_only_for_maintenance:
            self.owed.add_indispensable((each.control for each in self._own), fleet)

    def _asked_controls(self) -> list[DeclaredControl]:
        """The project's own controls that a run asks for that is not narrowed, by `-m maintenance` or without."""
        asks_for_maintenance = MAINTENANCE in self._config.option.markexpr
        candidates, others = self.audit.candidates, not self._asks_only_for_maintenance
        return [
            each
            for each in self._own
            if (asks_for_maintenance if MAINTENANCE in each.marks else others)
            and (candidates is None or candidates.is_decided_by(each.control))
        ]

    @property
    def _asks_only_for_maintenance(self) -> bool:
        return bool(self._config.option.markexpr.strip() == MAINTENANCE)

    def _may_evaluate_early(self) -> bool:
        """Whether every control of ours will be asked, of targets that answer one after the other."""
        option = self._config.option
        in_full = self._config.args_source is not pytest.Config.ArgsSource.ARGS
        narrowed = option.keyword or option.markexpr or option.deselect
        return self.audit.is_live and not self.only_lists and in_full and not narrowed

    def early_result(self, check: object, subject: Subject, control: str) -> Result | None:
        """Return the result of a check that was evaluated while other targets were observed; None: it was not."""
        return None if self._early is None else self._early.take(check, subject, control)

    def refuse_items(self, items: Iterable[pytest.Item]) -> None:
        """Refuse items that are no check of a subject.

        Raises:
            UsageError: there is one; then there are no reports.
        """
        for item in items:
            self.state.unusable = UsageError(
                f"{item.nodeid} has no subject: a check is a function; unittest.TestCase and other items are not run"
            )
            raise self.state.unusable

    def expect_results(self, items: Iterable[tuple[Control, Subject | None]]) -> None:
        """Take note of what was collected: a site's checks are owed because they were found."""
        own = {each.control.id for each in self._own}
        for control, subject in items:
            if subject is None:
                continue
            if control.id not in own:
                self.owed.add_one(control, subject)
            self.owed.explain(control, subject, NOT_REACHED)

    def record(self, item: str, judged: Result) -> Result:
        """Keep an item's result, and return it with its waiver and its drift."""
        result = self.ledger.record(item, judged)
        is_skipped = result.outcome is Outcome.NOTCHECKED and result.control.startswith("SITE-")
        if is_skipped and self.options.threshold.gate:
            self._skipped_in_gate.add(item)
        else:
            self._skipped_in_gate.discard(item)
        return result

    def _observe_all(self) -> None:
        with self.uncaptured(), self.progress_stream() as stream, self._progress(stream) as progress:
            pace = self.audit.pace
            if progress is not None and pace.is_automatic:
                progress.tell(pace.announcement())
            try:
                self.audit.observe(
                    lambda machine: self._keep(machine, progress), keep_open=may_ask_for_host(self._config)
                )
            except KeyboardInterrupt:
                self.state.interrupted = True
                stream.write("interrupted: evaluating what was observed so far\n")
                if self.directory is not None:
                    self.directory.keep_missing(self.audit.bundles())
            if progress is not None and pace.is_automatic:
                progress.tell(pace.result())

    def _progress(self, stream: TextIO) -> AbstractContextManager[ObservationProgress | None]:
        """A progress display; a line is enough for saved evidence, and nothing where items are only listed."""
        targets = sum(target.address is not None for target in self.audit.inventory)
        if self.options.evidence is None:
            return ObservationProgress(targets, stream)
        if not self.only_lists:
            stream.write(f"reading saved evidence of {plural(targets, 'target')}\n")
        return nullcontext()

    def _keep(self, machine: Machine, progress: ObservationProgress | None) -> None:
        bundle = machine.bundle
        if self.directory is not None:
            self.directory.keep(bundle)
        if progress is not None and bundle.target.address is not None:
            progress.advance(bundle)
        if self._early is not None:
            for line in self._early.add(machine):
                if progress is not None:
                    progress.tell(line)

    @override
    def conclude(self, session: pytest.Session, pytest_status: int, directory: RunDirectory) -> int:
        """Close every connection, write the reports, and return the exit status.

        A run that was stopped (`-x`, `--maxfail`, a check that cannot be imported) did not evaluate everything: it is
        never compliant.
        """
        self.audit.connections.close()
        if self.state.unusable is not None:
            raise self.state.unusable
        self._complete_run(session, int(pytest.ExitCode.INTERRUPTED) if self.state.interrupted else pytest_status)
        self.run.targets = [replace(each, evidence=directory.evidence_of(each.name)) for each in self.run.targets]
        for name, text in report_files(self.run):
            directory.write(name, text)
        if self.audit.cluster is not None:
            directory.write(ESTATE_FILE, [self.audit.cluster.text])
        write_remediation(directory.path / "remediation", self.run)
        return self.run.exit_status or 0

    def _complete_run(self, session: pytest.Session, pytest_status: int) -> None:
        """Fill in everything that is known once the last check was evaluated."""
        run, state, scope = self.run, self.state, self.ledger.scope
        # A failure without a result is a check that could not be imported: pytest may be set to continue without it.
        unread = session.testsfailed > self.ledger.failures
        stopped = bool(session.shouldstop or session.shouldfail or unread or state.interrupted)
        has_ended = state.expected is not None and self.ledger.judged >= state.expected and not stopped
        run.gaps.extend([*state.unreadable, *state.left_out, *self._uncollected()])
        run.left_out = len(scope.left_out)
        run.candidates = () if self.audit.candidates is None else self.audit.candidates.names
        run.owed = self.owed.count
        run.not_asked = list(self.owed.missing(self.ledger.results_but(self._skipped_in_gate)))
        run.complete = has_ended and not run.gaps
        in_full = self._config.args_source is not pytest.Config.ArgsSource.ARGS and self.audit.candidates is None
        scope.is_whole = in_full and has_ended and pytest_status in {0, 1}
        run.targets = self.audit.targets()
        self.ledger.close(run)
        run.diagnoses = list(diagnose(self.audit.fleet, self.budget.of))
        run.exposures = list(exposures(self.audit.fleet, self.budget.of))
        run.inputs = self.audit.inputs.all()
        run.not_audited = tuple(self.audit.declared.left_out)
        run.answers = list(nesting_answers(self.audit.fleet, run.diagnoses, self.budget.of))
        run.problems = problems_of(run)
        run.advisories_dated = self.audit.advisories.dated
        run.finished = datetime.now(UTC)
        run.exit_status = exit_status(run, pytest_status, self.options.threshold)

    def _own_controls(self) -> list[DeclaredControl]:
        """The project's own controls; none where one cannot be imported: then all that decide are missing."""
        try:
            return own_controls(self._config.rootpath)
        except ControlDefinitionError as error:
            self.state.left_out.append(printable(error))
            return []

    def _uncollected(self) -> list[str]:
        """The files of a site's checks that pytest did not collect."""
        root = working_folder(self._config)
        files = [] if self.audit.candidates is not None else sorted((root / CHECKS / SITE).rglob("test_*.py"))
        left = [path.relative_to(root) for path in files if path not in self.state.collected]
        return [printable(f"{path} was not collected") for path in left]

    def _open_ledger(self) -> Ledger:
        """Read waivers and baseline: an error in them is reported before anything is inspected."""
        fleet = self.audit.names
        scope = RunScope(fleet, frozenset(target.name for target in self.audit.inventory))
        given = self.options
        inputs = self.audit.inputs
        accepted = [] if given.waivers is None else inputs.read(InputKind.WAIVERS, given.waivers, load_waivers)
        baseline = None
        if given.baseline is not None:
            results = path_of(given.baseline)
            signed = _signed_baseline(results, given.allowed_signers)
            baseline = inputs.read(InputKind.BASELINE, results, lambda path: load_baseline(path, fleet), signed)
        return Ledger(scope, Waivers(accepted, self.run.started.date(), baseline), baseline)


def _signed_baseline(path: Path, allowed_signers: Path | None) -> SignedFiles | None:
    """What was signed of the run that the baseline is of; None: no signature is required."""
    try:
        return None if allowed_signers is None else signed_files(path.resolve().parent, allowed_signers)
    except SignatureRefused as error:
        raise UsageError(f"--baseline: {error}") from None


def audit_session(config: pytest.Config) -> AuditSession:
    """The session of a run that audits; only such a run collects items."""
    return cast("AuditSession", config.stash[SESSION])
