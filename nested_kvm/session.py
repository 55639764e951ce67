"""One run from its options to its reports."""

import sys
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import cast

import pytest

from nested_kvm.audit import Audit
from nested_kvm.connection import check_settings
from nested_kvm.diagnosis import diagnose
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.file import evidence_path, write_bundle
from nested_kvm.evidence.pending import announce, withdraw
from nested_kvm.files import write_atomically
from nested_kvm.options import Options
from nested_kvm.reporting.json_results import results_json
from nested_kvm.reporting.progress import ObservationProgress
from nested_kvm.reporting.run_directory import RunDirectory
from nested_kvm.results import Result, Run, exit_status
from nested_kvm.version import VERSION


class AuditSession:
    """What the plugin keeps while pytest runs."""

    def __init__(self, config: pytest.Config) -> None:
        self.options = Options.of(config)
        if self.options.evidence is None:
            check_settings(self.options.settings)
        self.audit = Audit(self.options, config.rootpath)
        self.run = Run(str(uuid.uuid4()), datetime.now(UTC), VERSION, self.audit.inventory.source)
        self._config = config
        self._results: dict[str, Result] = {}
        self._directory: RunDirectory | None = None
        self._expected: int | None = None
        self._interrupted = False

    @property
    def only_collects(self) -> bool:
        """Whether nothing is to be looked at: `--collect-only`, `--fixtures`."""
        option = self._config.option
        return bool(option.collectonly or option.showfixtures or option.show_fixtures_per_test)

    @property
    def report(self) -> str | None:
        """Where the HTML report is."""
        return None if self._directory is None else str(self._directory.parent / "latest" / "report.html")

    def prepare_reports(self) -> None:
        """Make the run's directory, and tell pytest-html and pytest's JUnit writer of it.

        Raises:
            UsageError: the directory cannot be made.
        """
        self._directory = RunDirectory(self.options.report_dir, self.run.started)
        option = self._config.option
        if not option.htmlpath:
            option.htmlpath = str(self._directory.path / "report.html")
            option.self_contained_html = True
        if not option.xmlpath:
            option.xmlpath = str(self._directory.path / "junit.xml")

    def observe(self) -> None:
        """Look at every target, tell how far it has come, and keep the evidence of each at once.

        Where items are only listed nothing is connected to: they are those of the targets that the inventory names.
        """
        if self.only_collects and self.options.evidence is None:
            return
        targets = sum(target.address is not None for target in self.audit.inventory)
        if self._directory is not None:
            announce(self._directory.evidence, self.audit.inventory)
        with self._uncaptured(), ObservationProgress(targets, sys.stdout) as progress:
            try:
                self.audit.observe(lambda bundle: self._keep(bundle, progress))
            except KeyboardInterrupt:
                self._interrupted = True
                progress.tell("interrupted: what was observed until now is judged")
                self._keep_what_was_not_seen()
        if self._directory is not None:
            withdraw(self._directory.evidence)

    def _keep(self, bundle: Bundle, progress: ObservationProgress) -> None:
        if self._directory is not None:
            write_bundle(self._directory.evidence, bundle)
        if bundle.target.address is not None:
            progress.advance(bundle)

    def _keep_what_was_not_seen(self) -> None:
        """Let the evidence say of which targets there is none."""
        for bundle in self.audit.bundles():
            if self._directory is not None and not evidence_path(self._directory.evidence, bundle.target.name).exists():
                write_bundle(self._directory.evidence, bundle)

    def expect(self, items: int) -> None:
        """Take note of how many results there must be: fewer, and the run was ended before its end."""
        self._expected = items

    def record(self, item: str, result: Result) -> None:
        """Keep an item's result; a later one, of its teardown, takes its place."""
        self._results[item] = result

    def finish(self, pytest_status: int) -> int:
        """Close every connection, write `results.json`, and return the exit status."""
        self.audit.connections.close()
        pytest_status = int(pytest.ExitCode.INTERRUPTED) if self._interrupted else pytest_status
        self.run.targets = self.audit.targets()
        self.run.results = list(self._results.values())
        self.run.diagnoses = list(diagnose(self.audit.fleet))
        self.run.finished = datetime.now(UTC)
        judged_all = self._expected is not None and len(self._results) >= self._expected
        self.run.complete = judged_all and not self._interrupted
        status = exit_status(self.run.results, pytest_status, self.options.fail_on, gate=self.options.gate)
        self.run.exit_status = status
        if self._directory is not None:
            write_atomically(self._directory.path / "results.json", results_json(self.run))
            self._directory.point_latest_here()
        return status

    def _uncaptured(self) -> nullcontext[None]:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        return nullcontext() if capture is None else cast("nullcontext[None]", capture.global_and_fixture_disabled())


SESSION = pytest.StashKey[AuditSession]()
"""Where pytest's configuration keeps it."""
