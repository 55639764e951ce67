"""One run merged from several: nothing is connected to, nothing is re-evaluated."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import pytest
from typing_extensions import override

from nested_kvm.errors import UsageError
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.merging.merge import merged_run
from nested_kvm.merging.stored_results import StoredResults
from nested_kvm.plugin.item_report import apply_result
from nested_kvm.plugin.items import safe_id
from nested_kvm.plugin.merged_age import ended_waiver, too_old
from nested_kvm.plugin.options import Options
from nested_kvm.plugin.session import SESSION, ReportingSession
from nested_kvm.reporting.html.table import ROWS
from nested_kvm.reporting.lines import unchanged_line
from nested_kvm.reporting.progress import SlowProgress
from nested_kvm.reporting.report_files import report_files
from nested_kvm.reporting.run_directory import RunDirectory
from nested_kvm.results.exit_status import exit_status
from nested_kvm.results.reader import path_of
from nested_kvm.results.run import Result, Run
from nested_kvm.util.text import plural

_EVALUATED: Final = frozenset({pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED})
"""How pytest ends where it collects nothing and is given the results of other runs."""


def begin_merge(config: pytest.Config) -> int | None:
    """Read the runs to merge before a report directory is made; return an exit status if that was interrupted.

    Raises:
        UsageError: the command line or a file is not valid for a merge, or the report directory cannot be made.
    """
    options = Options.of(config)
    try:
        session = config.stash[SESSION] = MergeSession(config, options)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was merged and no report was written\n")
        return int(pytest.ExitCode.INTERRUPTED)
    session.prepare_reports(with_evidence=False)
    config.pluginmanager.register(MergeRunLoop(session), "nested_kvm_merge")
    config.option.nagios = False  # Testinfra's own would answer as well.
    return None


class MergeSession(ReportingSession):
    """A run whose results are those of other runs."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        super().__init__(config, options)
        results = StoredResults()
        config.add_cleanup(results.close)
        self.run = self._merged(results)
        self._check_gate(config.option)
        if options.threshold.only_new and self.run.drift is None:
            raise UsageError(
                "--fail-on-drift: none of these runs was compared with a baseline; pass --baseline to each of them"
            )

    def _check_gate(self, given: argparse.Namespace) -> None:
        self._check_age(given)
        unchanged = unchanged_line(self.run)
        if unchanged and (given.gate or given.nagios) and not given.since_in_gate:
            option = "--gate" if given.gate else "--nagios"
            raise UsageError(
                f"{option} decides on what is so now, and the runs have earlier evidence by --since: {unchanged}; "
                "make the runs without --since, or add --since-in-gate"
            )

    def _check_age(self, given: argparse.Namespace) -> None:
        """Refuse what was so once: a target that was observed too long ago, and a waiver that has ended since.

        Raises:
            UsageError: there is one.
        """
        now, limit = datetime.now(UTC), self.options.max_age
        old = "" if limit is None else too_old(self.run, limit, now)
        if old:
            raise UsageError(f"--merge: {old}; make that run again")
        ended = ended_waiver(self.run, now.date()) if given.gate or given.nagios else ""
        if ended:
            raise UsageError(f"--merge: {ended} that was in force when its run was made; make that run again")

    def _merged(self, results: StoredResults) -> Run:
        folders = self.options.merge
        size = sum(map(_size, folders))
        what = f"reading the results of {plural(len(folders), 'run')}"
        with self.uncaptured(), self.progress_stream() as stream, SlowProgress(what, size, stream) as progress:
            return merged_run(folders, results, progress.advance, self.options.allowed_signers)

    @override
    def conclude(self, session: pytest.Session, pytest_status: int, directory: RunDirectory) -> int:
        """Write the reports of all runs, and return their exit status."""
        status = 0 if pytest_status in _EVALUATED else pytest_status
        self.run.exit_status = exit_status(self.run, status, self.options.threshold)
        self._write(list(report_files(self.run)), directory)
        return self.run.exit_status

    def _write(self, reports: Sequence[tuple[str, Iterable[str]]], directory: RunDirectory) -> None:
        with self.uncaptured(), self.progress_stream() as stream:
            progress = SlowProgress("writing reports", len(reports), stream, on_a_new_line=True)
            with progress:
                for name, text in reports:
                    directory.write(name, text)
                    progress.advance(1)


def _size(folder: Path) -> int:
    path = path_of(folder)
    return path.stat().st_size if path.is_file() else 0


class MergeRunLoop:
    """Replaces pytest's collection and run loop: reports the findings that get a row in its table."""

    def __init__(self, session: MergeSession) -> None:
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> bool:
        """Collect nothing."""
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Report the findings that get a row."""
        self._session.take_over_the_summary()
        run = self._session.run
        levels = {target.name: target.level for target in run.targets}
        for number, result in enumerate(run.findings()[:ROWS], 1):
            for report in _reports(number, result, levels[result.target]):
                session.config.hook.pytest_runtest_logreport(report=report)
        return True


def _reports(number: int, result: Result, level: TargetLevel) -> Iterator[pytest.TestReport]:
    """The reports of a control evaluated here: its call, and its teardown, for which pytest-html waits."""
    name = f"{safe_id(result.control)}[{safe_id(result.subject)}]#{number}"
    yield apply_result(_report(name, "call"), result, level)
    yield _report(name, "teardown")


def _report(name: str, when: Literal["call", "teardown"]) -> pytest.TestReport:
    return pytest.TestReport(name, ("--merge", None, name), {}, "passed", None, when)
