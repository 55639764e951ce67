"""The pytest plugin: thin glue between pytest's hooks and the suite.

Options in; every target observed before collection; one item for each control and subject; reports out.
"""

import signal
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

from nested_kvm.catalogue import write_catalogue
from nested_kvm.errors import UsageError
from nested_kvm.items import control_of_item, parametrize, subject_of
from nested_kvm.judgement import judge
from nested_kvm.options import add_options
from nested_kvm.reporting import html
from nested_kvm.reporting.pytest_report import show_as
from nested_kvm.reporting.terminal import write_summary
from nested_kvm.results import Result
from nested_kvm.session import SESSION, AuditSession
from nested_kvm.text import printable

_RESULT = "nested_kvm_result"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the suite's options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Check the command line and the inventory before anything is looked at; or print the catalogue."""
    option = config.option
    if option.controls:
        write_catalogue(config.rootpath, print)
        return 0
    if option.help or option.version or option.markers:
        return None
    _end_as_if_interrupted(config)
    try:
        session = config.stash[SESSION] = AuditSession(config)
        if not session.only_collects:
            session.prepare_reports()
    except UsageError as error:
        raise pytest.UsageError("\n".join(printable(line, 2000) for line in str(error).splitlines())) from None
    return None


def _end_as_if_interrupted(config: pytest.Config) -> None:
    """Let a run that is told to end, or whose terminal goes away, keep what it has, as after Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
            config.add_cleanup(partial(_as_before, number))


def _as_before(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Observe every target: only then is it known which domains there are to judge."""
    audit_session = session.config.stash.get(SESSION, None)
    if audit_session is not None:
        audit_session.observe()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item for each subject of a control."""
    parametrize(metafunc, metafunc.config.stash[SESSION].audit.fleet)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop the controls of which this fleet has no subject, and those of maintenance unless `-m` asks for them.

    That an L2 runs is what nesting is for: it is in the way of a migration or a reboot only.
    """
    asked = "maintenance" in config.option.markexpr
    kept = [item for item in items if asked or item.get_closest_marker("maintenance") is None]
    items[:] = [item for item in kept if subject_of(item) is not None]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let go of the targets of which no check asks for a live `host`."""
    session.config.stash[SESSION].expect(len(session.items))
    audit = session.config.stash[SESSION].audit
    wanted = {
        subject.machine.target.name
        for item in session.items
        if "host" in getattr(item, "fixturenames", ()) and (subject := subject_of(item)) is not None
    }
    audit.connections.close(target.name for target in audit.inventory if target.name not in wanted)
    _leave_the_summary_to_us(session.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn what the check said into a result, and pytest's report into one that says the same."""
    report = yield
    subject = subject_of(item)
    if subject is None or (call.when != "call" and call.excinfo is None):
        return report
    raised = None if call.excinfo is None else call.excinfo.value
    control = control_of_item(getattr(item, "function", None), item.name.partition("[")[0])
    result = judge(control, subject, raised, getattr(item, "funcargs", {}))
    item.config.stash[SESSION].record(item.nodeid, result)
    show_as(report, result)
    setattr(report, _RESULT, (result, subject.machine.target.level.value))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the results, and set the exit status that follows from them."""
    audit_session = session.config.stash.get(SESSION, None)
    if audit_session is not None and not audit_session.only_collects:
        session.exitstatus = audit_session.finish(int(exitstatus))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what an operator has to know."""
    session = config.stash.get(SESSION, None)
    if session is not None and session.run.finished is not None:
        terminalreporter.section("nested KVM compliance")
        write_summary(session.run, terminalreporter.write_line, gate=session.options.gate, report=session.report)


def _leave_the_summary_to_us(config: pytest.Config) -> None:
    """Keep pytest from listing each finding as a failed test, unless the command line asks for that."""
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if config.option.tbstyle == "auto":
        config.option.tbstyle = "no"
    if terminal is not None and config.option.reportchars == "fE":
        terminal.reportchars = ""


@pytest.hookimpl(optionalhook=True)
def pytest_html_report_title(report: Any) -> None:
    """Name the report."""
    report.title = "Nested KVM compliance"


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_table_header(cells: list[str]) -> None:
    """Put the suite's columns in place of pytest-html's."""
    cells[:] = html.header_cells()


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_table_row(report: Any, cells: list[str]) -> None:
    """One row for each result; none for a setup or teardown that says nothing."""
    found: tuple[Result, str] | None = getattr(report, _RESULT, None)
    cells[:] = [] if found is None else html.row_cells(*found, shown=cells[0])


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    """Open the report with the verdict and the findings."""
    prefix.extend(html.opening(session.config.stash[SESSION].run))
