"""pytest-html's hooks: its file carries the audit's own report."""

import secrets
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pluggy
import pytest

from nested_kvm.plugin.item_report import RESULT, ControlReport
from nested_kvm.plugin.session import ReportingSession, session_of
from nested_kvm.reporting.html.opening import opening_pieces, other_pages
from nested_kvm.reporting.html.page import completed
from nested_kvm.reporting.html.summary import ReportContext, policies_of
from nested_kvm.reporting.html.table import ROWS, has_row, header_cells, row_cells
from nested_kvm.reporting.html.target_pages import FOLDER
from nested_kvm.results.run import Result
from nested_kvm.util.files import write_pieces_atomically


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the report's hooks where there is a run to report."""
    session = session_of(config)
    if session is not None and config.option.htmlpath:
        # The audit's own summary ends with the report's path; pytest-html gets only what may have a row.
        _take_over(config.hook.pytest_terminal_summary)
        writers = _take_over(config.hook.pytest_runtest_logreport)
        config.pluginmanager.register(HtmlReport(session, Path(config.option.htmlpath), writers))


def _take_over(caller: pluggy.HookCaller) -> list[Any]:
    """Keep pytest-html from implementing a hook; return its plugins that did."""
    plugins = [
        each.plugin for each in caller.get_hookimpls() if type(each.plugin).__module__.startswith("pytest_html.")
    ]
    for plugin in plugins:
        caller._remove_plugin(plugin)  # noqa: SLF001 - a plugin has no other way to leave one hook
    return plugins


class HtmlReport:
    """The implementations of pytest-html's hooks for one run."""

    def __init__(self, session: ReportingSession, path: Path, writers: Sequence[Any] = ()) -> None:
        self._session = session
        self._path = path
        self._writers = writers
        """pytest-html's own plugins, which keep every report that they are given."""
        self._rows = 0
        self._place = f"<!--{secrets.token_hex(16)}-->"
        """Placeholder of the opening, which is written in pieces once pytest-html has written the page around it."""

    def pytest_html_report_title(self, report: Any) -> None:
        """Name the report."""
        report.title = "Nested KVM compliance"

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hand over what may get a row: of a control a finding, of a site's check everything."""
        if isinstance(report, ControlReport) and (report.result is None or not has_row(report.result)):
            return
        for each in self._writers:
            each.pytest_runtest_logreport(report)

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Replace pytest-html's columns by the audit's."""
        cells[:] = header_cells()

    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """One row for each finding, up to a number that a browser draws quickly."""
        found: tuple[Result, str] | None = getattr(report, RESULT, None)
        if found is None or not has_row(found[0]) or self._rows >= ROWS:
            cells[:] = []
            return
        self._rows += 1
        cells[:] = row_cells(*found, shown=cells[0])

    def pytest_html_results_table_html(self, report: Any, data: list[str]) -> None:
        """Drop the log of each row: the row links to its finding."""
        if getattr(report, RESULT, None) is not None:
            data[:] = []

    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """Open the report with all findings."""
        prefix.append(self._place)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        """Complete the page that pytest-html has just written."""
        yield
        if self._path.exists():
            page = completed(self._path.read_text(encoding="utf-8"))
            write_pieces_atomically(self._path, self._opened(page))
            folder = self._path.parent / FOLDER
            for name, pieces in other_pages(self._session.run, f"../{quote(self._path.name)}"):
                folder.mkdir(exist_ok=True)
                write_pieces_atomically(folder / name, pieces)

    def _opened(self, page: str) -> Iterator[str]:
        before, _, after = page.partition(self._place)
        yield before
        yield from opening_pieces(self._session.run, self._scope(), self._session.reports)
        yield after

    def _scope(self) -> ReportContext:
        limit = self._session.options.threshold
        policies = policies_of(target.policy for target in self._session.run.targets if target.policy is not None)
        return ReportContext(policies, limit.fail_on, limit.gate, limit.only_new)
