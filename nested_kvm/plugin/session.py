"""One run from pytest's point of view, whether it audits or merges.

The life cycle, in the order of pytest's hooks (hooks.py):

1. `pytest_cmdline_main`: the options are checked, the session is created, the report directory is made.
2. `pytest_collection`: an audit observes every target; a merge collects nothing.
3. `pytest_runtest_…`: each item's result is recorded.
4. `pytest_sessionfinish`: `conclude` writes the reports and returns the exit status.
"""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, cast

import pytest

from nested_kvm.errors import UsageError
from nested_kvm.plugin.item_report import print_errors_as_tests
from nested_kvm.plugin.options import Options
from nested_kvm.plugin.process_exit import GUARD
from nested_kvm.reporting.output import forgiving
from nested_kvm.reporting.run_directory import RunDirectory
from nested_kvm.results.checksums import NAMESPACE
from nested_kvm.results.run import Run
from nested_kvm.util.ssh_signature import sign


@dataclass(slots=True)
class RunState:
    """What has happened so far that keeps a run from being complete, or its reports from being written."""

    expected: int | None = None
    """How many results there must be; None: the collection did not end."""
    interrupted: bool = False
    unusable: UsageError | None = None
    """Why there can be no reports."""
    unreadable: list[str] = field(default_factory=list)
    """The check files that could not be imported: file, line and error."""
    left_out: list[str] = field(default_factory=list)
    """The check files that were skipped or could not be catalogued, with the reason."""
    collected: set[Path] = field(default_factory=set)
    """The check files that pytest collected."""
    wants_summary: bool = False
    """Whether pytest prints summaries: not so with --no-summary."""
    lost: list[OSError] = field(default_factory=list)
    """Why the log file was not written."""
    tracebacks: dict[str, list[str]] = field(default_factory=dict)
    """The traceback of each site check that broke, by its item."""


class ReportingSession(ABC):
    """A run that writes reports."""

    run: Run

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self.options = options
        self.state = RunState()
        self.directory: RunDirectory | None = None
        """None: nothing is written, as items are only listed."""
        self.started = datetime.now(UTC)
        self._config = config

    @property
    def report(self) -> str | None:
        """The path of this run's HTML report; `latest` may be another run's by now."""
        return None if self.directory is None else str(self.directory.path / "report.html")

    @property
    def reports(self) -> Path | None:
        """The directory with the reports of this run and of earlier ones."""
        return None if self.directory is None else self.directory.parent

    @abstractmethod
    def conclude(self, session: pytest.Session, pytest_status: int, directory: RunDirectory) -> int:
        """Write the reports, and return the exit status.

        Raises:
            UsageError: a report cannot be written; then there is none.
        """

    def prepare_reports(self, *, with_evidence: bool = True) -> None:
        """Make the run's directory, and have pytest-html write its page there.

        Raises:
            UsageError: the directory cannot be made, or the run could not be signed.
        """
        if self.options.sign_with is not None:
            self.sign(b"a trial, before anything is inspected\n")
        self.directory = RunDirectory(self.options.report_dir, self.started, with_evidence=with_evidence)
        option = self._config.option
        if not option.htmlpath:
            option.htmlpath = str(self.directory.path / "report.html")
            option.self_contained_html = True

    def sign(self, data: bytes) -> bytes | None:
        """Sign with the key of `--sign-with`; None: there is none.

        Raises:
            UsageError: that is not possible.
        """
        key = self.options.sign_with
        return None if key is None else sign(data, key, NAMESPACE)

    def take_over_the_summary(self) -> None:
        """Keep pytest from listing each finding as a failed test, unless the command line asks for that."""
        option, terminal = self._config.option, self._config.pluginmanager.getplugin("terminalreporter")
        if option.tbstyle == "auto":
            option.tbstyle = "no"
        if terminal is None:
            return
        print_errors_as_tests(terminal)
        is_asked_for = any(argument.startswith("-r") for argument in self._config.invocation_params.args)
        if option.reportchars == "fE" and not is_asked_for:
            terminal.reportchars = ""

    def uncaptured(self) -> nullcontext[None]:
        """A context in which output is printed, not captured."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        return nullcontext() if capture is None else cast("nullcontext[None]", capture.global_and_fixture_disabled())

    @contextmanager
    def progress_stream(self) -> Iterator[TextIO]:
        """Where progress is printed: nowhere under `--nagios`, which prints its answer only."""
        if not self.options.nagios:
            yield forgiving(sys.stdout, GUARD.lose)
            return
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            yield nowhere


SESSION = pytest.StashKey[ReportingSession]()
"""Where pytest's configuration keeps the session."""


def session_of(config: pytest.Config) -> ReportingSession | None:
    """The session of this run; None where nothing is audited or merged (`--help`, `--controls`)."""
    return config.stash.get(SESSION, None)
