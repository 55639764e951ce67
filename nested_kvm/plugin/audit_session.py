"""One run from its options to its reports."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime

import pytest
from typing_extensions import override

from nested_kvm.connection import check_settings, unlock_keys
from nested_kvm.controls.diagnose import diagnose
from nested_kvm.errors import UsageError
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.plugin.audit import Audit
from nested_kvm.plugin.host_usage import may_ask_for_host
from nested_kvm.plugin.options import Options
from nested_kvm.plugin.session import ReportedSession
from nested_kvm.reporting.progress import ObservationProgress
from nested_kvm.reporting.remediation_files import write_remediation
from nested_kvm.reporting.report_files import append_step_summary, report_files
from nested_kvm.results.baseline import load_baseline
from nested_kvm.results.recorder import Ledger
from nested_kvm.results.run import Run, exit_status
from nested_kvm.results.scope import RunScope
from nested_kvm.results.waiver_file import load_waivers
from nested_kvm.results.waivers import Waivers
from nested_kvm.version import VERSION


class AuditSession(ReportedSession):
    """A run that looks at targets, or at their evidence."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config, Options.of(config))
        if self.options.evidence is None:
            check_settings(self.options.settings)
        self.audit = Audit(self.options, config.rootpath)
        self.run = Run(str(uuid.uuid4()), self.started, VERSION, self.audit.inventory.source, shard=self.audit.shard)
        self.ledger = self._open_ledger()
        self._broken: UsageError | None = None
        self._expected: int | None = None
        self._interrupted = False

    @property
    def only_collects(self) -> bool:
        """Whether nothing is to be looked at: `--collect-only`, `--fixtures`."""
        option = self._config.option
        return bool(option.collectonly or option.showfixtures or option.show_fixtures_per_test)

    def observe(self) -> None:
        """Look at every target, tell how far it has come, and keep the evidence of each at once.

        Where items are only listed nothing is connected to: they are those of the targets that the inventory names.

        Raises:
            UsageError: evidence cannot be written.
        """
        if self.only_collects and self.options.evidence is None:
            return
        targets = sum(target.address is not None for target in self.audit.inventory)
        with self.uncaptured():
            self._unlock_keys()
        directory = self.directory
        try:
            with nullcontext() if directory is None else directory.awaiting(self.audit.inventory):
                self._look(targets)
        except UsageError as error:
            self._broken = error
            raise

    def _look(self, targets: int) -> None:
        with self.uncaptured(), self.told() as told, ObservationProgress(targets, told) as progress:
            try:
                self.audit.observe(
                    lambda bundle: self._keep(bundle, progress), keep_open=may_ask_for_host(self._config)
                )
            except KeyboardInterrupt:
                self._interrupted = True
                progress.tell("interrupted: what was observed until now is judged")
                if self.directory is not None:
                    self.directory.keep_missing(self.audit.bundles())

    def _keep(self, bundle: Bundle, progress: ObservationProgress) -> None:
        if self.directory is not None:
            self.directory.keep(bundle)
        if bundle.target.address is not None:
            progress.advance(bundle)

    def expect(self, items: int) -> None:
        """Take note of how many results there must be: fewer, and the run was ended before its end."""
        self._expected = items

    def _unlock_keys(self) -> None:
        if self.options.evidence is None:
            unlock_keys(self.audit.addresses(), self.options.settings)

    @override
    @contextmanager
    def finish(self, session: pytest.Session, pytest_status: int) -> Iterator[int]:
        """Close every connection, and give the exit status to those that write reports.

        A run that was stopped (`-x`, `--maxfail`, a check that cannot be read) did not judge everything: it is never
        compliant.

        Raises:
            UsageError: a report cannot be written; then there is none.
        """
        # What failed beside the results is a check that could not be read: pytest may be told to go on without it.
        unread = session.testsfailed > self.ledger.failures
        stopped = bool(session.shouldstop or session.shouldfail or unread)
        self.audit.connections.close()
        directory = self.directory
        if directory is None:
            yield pytest_status
            return
        pytest_status = int(pytest.ExitCode.INTERRUPTED) if self._interrupted else pytest_status
        with directory.complete():
            if self._broken is not None:
                raise self._broken
            self._conclude(pytest_status, stopped=stopped)
            for name, text in report_files(self.run):
                directory.write(name, text)
            write_remediation(directory.path / "remediation", self.run)
            yield self.run.exit_status or 0
        append_step_summary(self.run)

    def _conclude(self, pytest_status: int, *, stopped: bool) -> None:
        """Bring together all that came of the run."""
        judged_all = self._expected is not None and self.ledger.judged >= self._expected
        self.run.complete = judged_all and not stopped and not self._interrupted
        in_full = self._config.args_source is not pytest.Config.ArgsSource.ARGS and self.audit.candidate is None
        self.ledger.scope.is_whole = in_full and self.run.complete and pytest_status in {0, 1}
        self.run.targets = self.audit.targets()
        self.ledger.close(self.run)
        self.run.diagnoses = list(diagnose(self.audit.fleet))
        self.run.finished = datetime.now(UTC)
        self.run.exit_status = exit_status(self.run, pytest_status, self.options.threshold)

    def _open_ledger(self) -> Ledger:
        """Read waivers and baseline: what is wrong with them is told before anything is looked at."""
        fleet = self.audit.names
        scope = RunScope(fleet, frozenset(target.name for target in self.audit.inventory))
        given = self.options
        waivers = Waivers([] if given.waivers is None else load_waivers(given.waivers), self.run.started.date())
        return Ledger(scope, waivers, None if given.baseline is None else load_baseline(given.baseline, fleet))


SESSION = pytest.StashKey[AuditSession]()
"""Where pytest's configuration keeps it."""
