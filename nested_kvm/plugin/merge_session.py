"""One run made of several: nothing is connected to, nothing is judged again."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import pytest
from typing_extensions import override

from nested_kvm.errors import UsageError
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.merging.merge import merged_run
from nested_kvm.merging.stored_results import StoredResults
from nested_kvm.plugin.items import safe_id
from nested_kvm.plugin.options import Options
from nested_kvm.plugin.session import REPORTED, ReportedSession
from nested_kvm.plugin.test_report import shown
from nested_kvm.reporting.html.table import ROWS
from nested_kvm.reporting.progress import SlowProgress
from nested_kvm.reporting.report_files import append_step_summary, report_files
from nested_kvm.reporting.run_directory import RunDirectory
from nested_kvm.results.reader import path_of
from nested_kvm.results.run import Result, Run, exit_status

_JUDGED: Final = frozenset({pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED})
"""How pytest ends where it had nothing to collect, and was fed what others judged."""


def begin_merge(config: pytest.Config) -> int | None:
    """Read the runs that are merged, before a report directory is made; an exit status where that was interrupted.

    Raises:
        UsageError: the command line or a file is none that can be merged, or there is no place for reports.
    """
    options = Options.of(config)
    try:
        session = config.stash[REPORTED] = MergeSession(config, options)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was merged, and no report was written\n")
        return int(pytest.ExitCode.INTERRUPTED)
    session.prepare_reports(with_evidence=False)
    config.pluginmanager.register(FedByRuns(session), "nested_kvm_merge")
    config.option.nagios = False  # Testinfra's own would answer as well.
    return None


class MergeSession(ReportedSession):
    """A run of which the results are those of others."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        super().__init__(config, options)
        results = StoredResults()
        config.add_cleanup(results.close)
        self.run = self._merged(results)
        if options.threshold.only_new and self.run.drift is None:
            raise UsageError("--fail-on-drift: none of these runs compared with a baseline: give one to each of them")

    def _merged(self, results: StoredResults) -> Run:
        folders = self.options.merge
        size = sum(map(_size, folders))
        what = f"reading the results of {len(folders)} run{'' if len(folders) == 1 else 's'}"
        with self.uncaptured(), self.told() as told, SlowProgress(what, size, told) as progress:
            return merged_run(folders, results, progress.advance)

    @override
    @contextmanager
    def finish(self, session: pytest.Session, pytest_status: int) -> Iterator[int]:
        """Give the exit status of all runs to those that write reports.

        Raises:
            UsageError: a report cannot be written; then there is none.
        """
        if self.directory is None:
            yield pytest_status
            return
        status = 0 if pytest_status in _JUDGED else pytest_status
        self.run.exit_status = exit_status(self.run, status, self.options.threshold)
        reports = list(report_files(self.run))
        with self.directory.complete():
            self._write(reports, self.directory)
            yield self.run.exit_status
        append_step_summary(self.run)

    def _write(self, reports: Sequence[tuple[str, Iterable[str]]], directory: RunDirectory) -> None:
        with self.uncaptured(), self.told() as told:
            progress = SlowProgress("writing reports", len(reports), told, on_a_new_line=True)
            with progress:
                for name, text in reports:
                    directory.write(name, text)
                    progress.advance(1)


def _size(folder: Path) -> int:
    path = path_of(folder)
    return path.stat().st_size if path.is_file() else 0


class FedByRuns:
    """What pytest does in place of collecting and judging: it is fed the findings that get a row in its table."""

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
    """As of a control that was judged here: called, and torn down, for which pytest-html waits."""
    name = f"{safe_id(result.control)}[{safe_id(result.subject)}]#{number}"
    yield shown(_report(name, "call"), result, level)
    yield _report(name, "teardown")


def _report(name: str, when: Literal["call", "teardown"]) -> pytest.TestReport:
    return pytest.TestReport(name, ("--merge", None, name), {}, "passed", None, when)
