"""What every run that leaves reports has in common, whether it audits or merges."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, cast

import pytest

from nested_kvm.plugin.options import Options
from nested_kvm.reporting.run_directory import RunDirectory
from nested_kvm.results.run import Run


class ReportedSession(ABC):
    """What the plugin keeps while pytest runs, and the report's hooks look at."""

    run: Run

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self.options = options
        self.directory: RunDirectory | None = None
        """None: nothing is written, as items are only listed."""
        self.started = datetime.now(UTC)
        self._config = config

    @property
    def report(self) -> str | None:
        """Where the HTML report is."""
        return None if self.directory is None else str(self.directory.parent / "latest" / "report.html")

    @property
    def reports(self) -> Path | None:
        """Where this run and earlier ones keep their reports."""
        return None if self.directory is None else self.directory.parent

    @abstractmethod
    def finish(self, session: pytest.Session, pytest_status: int) -> AbstractContextManager[int]:
        """Give the exit status to those that write reports, around their writing.

        Raises:
            UsageError: a report cannot be written; then there is none.
        """

    def prepare_reports(self, *, with_evidence: bool = True) -> None:
        """Make the run's directory, and tell pytest-html of it.

        Raises:
            UsageError: the directory cannot be made.
        """
        self.directory = RunDirectory(self.options.report_dir, self.started, with_evidence=with_evidence)
        option = self._config.option
        if not option.htmlpath:
            option.htmlpath = str(self.directory.path / "report.html")
            option.self_contained_html = True

    def take_over_the_summary(self) -> None:
        """Keep pytest from listing each finding as a failed test, unless the command line asks for that."""
        option, terminal = self._config.option, self._config.pluginmanager.getplugin("terminalreporter")
        if option.tbstyle == "auto":
            option.tbstyle = "no"
        if terminal is not None and option.reportchars == "fE":
            terminal.reportchars = ""

    def uncaptured(self) -> nullcontext[None]:
        """What is printed inside is seen."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        return nullcontext() if capture is None else cast("nullcontext[None]", capture.global_and_fixture_disabled())

    @contextmanager
    def told(self) -> Iterator[TextIO]:
        """Where progress is told: a plugin of Nagios says one thing only."""
        if not self.options.nagios:
            yield sys.stdout
            return
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            yield nowhere


REPORTED = pytest.StashKey[ReportedSession]()
"""Where pytest's configuration keeps it."""
