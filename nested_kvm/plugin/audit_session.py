"""One audit from its options to its reports."""

import uuid
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import TextIO

import pytest
from typing_extensions import override

from nested_kvm.connection import check_settings, unlock_keys
from nested_kvm.controls.diagnose import diagnose
from nested_kvm.errors import UsageError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.plugin.audit import Audit
from nested_kvm.plugin.host_usage import may_ask_for_host
from nested_kvm.plugin.option_conflicts import only_lists
from nested_kvm.plugin.options import Options
from nested_kvm.plugin.session import ReportingSession
from nested_kvm.reporting.progress import ObservationProgress
from nested_kvm.reporting.remediation_files import write_remediation
from nested_kvm.reporting.report_files import report_files
from nested_kvm.reporting.run_directory import RunDirectory
from nested_kvm.results.baseline import load_baseline
from nested_kvm.results.recorder import Ledger
from nested_kvm.results.run import Run, exit_status
from nested_kvm.results.scope import RunScope
from nested_kvm.results.waiver_file import load_waivers
from nested_kvm.results.waivers import Waivers
from nested_kvm.util.text import plural
from nested_kvm.version import VERSION


class AuditSession(ReportingSession):
    """A run that inspects targets, or evaluates their saved evidence."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config, Options.of(config))
        if self.options.evidence is None:
            check_settings(self.options.settings)
        self.audit = Audit(self.options, config.rootpath)
        self.run = Run(str(uuid.uuid4()), self.started, VERSION, self.audit.inventory.source, shard=self.audit.shard)
        self.ledger = self._open_ledger()
        self.only_lists = only_lists(config.option)

    def observe(self) -> None:
        """Inspect every target, show progress, and save the evidence of each at once.

        Where items are only listed nothing is connected to: they are those of the targets that the inventory names.

        Raises:
            UsageError: evidence cannot be written.
        """
        if self.only_lists and self.options.evidence is None:
            return
        if self.options.evidence is None:
            with self.uncaptured():
                unlock_keys(self.audit.addresses(), self.options.settings)
        try:
            with nullcontext() if self.directory is None else self.directory.awaiting(self.audit.inventory):
                self._observe_all()
        except UsageError as error:
            self.state.unusable = error
            raise

    def _observe_all(self) -> None:
        with self.uncaptured(), self.progress_stream() as stream, self._progress(stream) as progress:
            try:
                self.audit.observe(
                    lambda bundle: self._keep(bundle, progress), keep_open=may_ask_for_host(self._config)
                )
            except KeyboardInterrupt:
                self.state.interrupted = True
                stream.write("interrupted: evaluating what was observed so far\n")
                if self.directory is not None:
                    self.directory.keep_missing(self.audit.bundles())

    def _progress(self, stream: TextIO) -> AbstractContextManager[ObservationProgress | None]:
        """A progress display; a line is enough for saved evidence, and nothing where items are only listed."""
        targets = sum(target.address is not None for target in self.audit.inventory)
        if self.options.evidence is None:
            return ObservationProgress(targets, stream)
        if not self.only_lists:
            stream.write(f"reading saved evidence of {plural(targets, 'target')}\n")
        return nullcontext()

    def _keep(self, bundle: Bundle, progress: ObservationProgress | None) -> None:
        if self.directory is not None:
            self.directory.keep(bundle)
        if progress is not None and bundle.target.address is not None:
            progress.advance(bundle)

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
        for name, text in report_files(self.run):
            directory.write(name, text)
        write_remediation(directory.path / "remediation", self.run)
        return self.run.exit_status or 0

    def _complete_run(self, session: pytest.Session, pytest_status: int) -> None:
        """Fill in everything that is known once the last check was evaluated."""
        run, state, scope = self.run, self.state, self.ledger.scope
        # A failure without a result is a check that could not be imported: pytest may be set to continue without it.
        unread = session.testsfailed > self.ledger.failures
        stopped = bool(session.shouldstop or session.shouldfail or unread or state.interrupted)
        run.complete = state.expected is not None and self.ledger.judged >= state.expected and not stopped
        run.gaps.extend(state.unreadable)
        in_full = self._config.args_source is not pytest.Config.ArgsSource.ARGS and self.audit.candidate is None
        scope.is_whole = in_full and run.complete and pytest_status in {0, 1}
        run.targets = self.audit.targets()
        self.ledger.close(run)
        run.diagnoses = list(diagnose(self.audit.fleet))
        run.finished = datetime.now(UTC)
        run.exit_status = exit_status(run, pytest_status, self.options.threshold)

    def _open_ledger(self) -> Ledger:
        """Read waivers and baseline: an error in them is reported before anything is inspected."""
        fleet = self.audit.names
        scope = RunScope(fleet, frozenset(target.name for target in self.audit.inventory))
        given = self.options
        waivers = Waivers([] if given.waivers is None else load_waivers(given.waivers), self.run.started.date())
        return Ledger(scope, waivers, None if given.baseline is None else load_baseline(given.baseline, fleet))
