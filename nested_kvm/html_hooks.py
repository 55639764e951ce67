"""pytest-html's hooks: its file carries the suite's own report."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from nested_kvm.files import write_atomically
from nested_kvm.reporting.html.opening import opening
from nested_kvm.reporting.html.page import completed
from nested_kvm.reporting.html.summary import Scope, policies_of
from nested_kvm.reporting.html.table import ROWS, has_row, header_cells, row_cells
from nested_kvm.reporting.pytest_report import RESULT
from nested_kvm.results import Result
from nested_kvm.session import SESSION, AuditSession


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Hand pytest-html what it shows, where there is a run to report."""
    session = config.stash.get(SESSION, None)
    if session is not None and config.option.htmlpath:
        config.pluginmanager.register(HtmlReport(session, Path(config.option.htmlpath)))


class HtmlReport:
    """What pytest-html's hooks are answered during one run."""

    def __init__(self, session: AuditSession, path: Path) -> None:
        self._session = session
        self._path = path
        self._rows = 0

    def pytest_html_report_title(self, report: Any) -> None:
        """Name the report."""
        report.title = "Nested KVM compliance"

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Put the suite's columns in place of pytest-html's."""
        cells[:] = header_cells()

    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """One row for each finding, as long as a browser can draw them in a moment."""
        found: tuple[Result, str] | None = getattr(report, RESULT, None)
        if found is None or not has_row(found[0]) or self._rows >= ROWS:
            cells[:] = []
            return
        self._rows += 1
        cells[:] = row_cells(*found, shown=cells[0])

    def pytest_html_results_table_html(self, report: Any, data: list[str]) -> None:
        """Say nothing twice: each row links to its finding."""
        if getattr(report, RESULT, None) is not None:
            data[:] = []

    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """Open the report with everything that was found."""
        limit = self._session.options.threshold
        policies = policies_of(target.policy for target in self._session.audit.inventory)
        scope = Scope(policies, limit.fail_on, limit.gate, limit.only_new)
        prefix.append(opening(self._session.run, scope, self._session.reports))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        """Complete the page that pytest-html has just written."""
        yield
        if self._path.exists():
            write_atomically(self._path, completed(self._path.read_text(encoding="utf-8")))
