"""The pytest plugin: pytest's hooks, in the order in which pytest calls them.

Options in; every target observed before collection; one item for each control and subject; reports out.
"""

import argparse
import gc
import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from nested_kvm.controls.catalogue import write_catalogue
from nested_kvm.controls.judge import judge
from nested_kvm.errors import NestedKvmError, UsageError
from nested_kvm.model.verdict import Outcome
from nested_kvm.plugin.audit_session import AuditSession, audit_session
from nested_kvm.plugin.check_errors import import_error, returning_none, skipped_file, traceback_lines
from nested_kvm.plugin.installed import working_folder
from nested_kvm.plugin.item_report import apply_result
from nested_kvm.plugin.items import (
    MAINTENANCE,
    MARKERS,
    control_of_test,
    deselected_by,
    is_check,
    mark_as,
    parametrize,
    subject_of,
)
from nested_kvm.plugin.option_conflicts import check_catalogue_options, check_plugins
from nested_kvm.plugin.options import add_options
from nested_kvm.plugin.output_files import check_output_files, forgiving_log_file
from nested_kvm.plugin.process_exit import GUARD, asks_for_nagios
from nested_kvm.plugin.session import SESSION, ReportingSession, session_of
from nested_kvm.reporting.nagios import State, nagios_answer, refusal
from nested_kvm.reporting.output import for_log, forgiving
from nested_kvm.reporting.report_files import append_step_summary
from nested_kvm.reporting.terminal import write_summary
from nested_kvm.reporting.terminal_output import Screen
from nested_kvm.results.inputs import InputKind
from nested_kvm.util.text import printable

_GARBAGE: Final = (10_000, 20, 50)
"""As `gc.set_threshold` takes them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the audit's options; and be ready to answer, whatever happens next."""
    GUARD.watch(needs_answer=asks_for_nagios())
    try:
        add_options(parser)
    except (ValueError, argparse.ArgumentError) as error:
        message = f"another plugin of pytest has an option of the audit: {error}; leave it out with -p no:NAME"
        raise pytest.UsageError(message) from None


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Check the command line and the inventory before anything is inspected; or print the catalogue."""
    option = config.option
    with _usage_errors(config):
        if sys.flags.optimize > 1:
            raise UsageError("python -OO removes docstrings, which say what a control requires: run it without -OO")
        check_plugins(config)
    for name, description in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {description}")
    if option.controls:
        with _usage_errors(config):
            check_catalogue_options(option)
        write_catalogue(config.rootpath, working_folder(config), print)
        return 0
    if option.markers:
        with _usage_errors(config):
            check_catalogue_options(option)
    if option.help or option.version or option.markers:
        return None
    _end_as_if_interrupted(config)
    _collect_garbage_rarely(config)
    with _usage_errors(config):
        check_output_files(config)
        if option.merge:
            from nested_kvm.plugin.merge_session import begin_merge  # noqa: PLC0415 - an audit needs nothing of a merge

            return begin_merge(config)
        session = config.stash[SESSION] = AuditSession(config)
        if not session.only_lists:
            session.prepare_reports()
        option.nagios = False  # Testinfra's own would answer as well.
    if option.verbose == 0:
        option.verbose = -1  # One line for each test, or nothing: dots without their file are noise.
    return None


def _end_as_if_interrupted(config: pytest.Config) -> None:
    """On SIGTERM and SIGHUP, end as after Ctrl-C: with reports on what was observed so far."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
            config.add_cleanup(partial(_reset_signal, number))


def _collect_garbage_rarely(config: pytest.Config) -> None:
    """Search for cycles less often: nearly all that a run makes is kept until its reports are written."""
    config.add_cleanup(partial(gc.set_threshold, *gc.get_threshold()))
    gc.set_threshold(*_GARBAGE)


def _reset_signal(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Under `--nagios`, keep everything but the answer from standard output."""
    session = session_of(config)
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if session is not None and session.options.nagios and terminal is not None:
        config.pluginmanager.unregister(terminal)
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process lives
        config.pluginmanager.register(pytest.TerminalReporter(config, nowhere), "terminalreporter")
        config.add_cleanup(nowhere.close)
    elif session is not None and terminal is not None:
        writer = terminal._tw  # noqa: SLF001 - pytest offers no other way
        stream = writer._file = forgiving(writer._file, GUARD.lose)  # noqa: SLF001 - as above
        config.add_cleanup(stream.flush)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> Generator[None]:
    """Report a full disk: pytest-html writes its page for the first time."""
    reporting = session_of(session.config)
    if reporting is not None:
        forgiving_log_file(session.config, reporting.state.lost.append)
    with _usage_errors(session.config):
        try:
            yield
        except OSError as error:
            raise UsageError(f"--report-dir: {error.filename}: {error.strerror}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Observe every target: only then are the domains known that there are to evaluate."""
    reporting = session_of(session.config)
    if isinstance(reporting, AuditSession):
        with _usage_errors(session.config):
            reporting.observe()


@contextmanager
def _usage_errors(config: pytest.Config) -> Iterator[None]:
    """Turn a usage error into pytest's, in printable lines; under `--nagios` also into the answer."""
    try:
        yield
    except UsageError as error:
        lines = [for_log(printable(line, 2000)) for line in str(error).splitlines()]
        session = session_of(config)
        if getattr(config.option, "nagios", False) or (session is not None and session.options.nagios):
            with nullcontext() if session is None else session.uncaptured():
                GUARD.answer(State.UNKNOWN, refusal(lines[0]))
        raise pytest.UsageError("\n".join(lines)) from None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Exit cleanly on an interruption where pytest does not expect one."""
    try:
        yield
    except KeyboardInterrupt:
        pytest.exit("interrupted while writing reports: no report was written", returncode=pytest.ExitCode.INTERRUPTED)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item for each subject of a control."""
    parametrize(metafunc, audit_session(metafunc.config).audit.fleet)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Remember which files of checks were collected, and why others could not be."""
    report = yield
    session = session_of(collector.config)
    if session is None:
        return report
    if report.failed:
        session.state.unreadable.append(import_error(collector, report))
    elif report.skipped:
        session.state.left_out.append(skipped_file(collector, report))
    if isinstance(collector, pytest.Module):
        session.state.collected.add(collector.path)
        if isinstance(session, AuditSession):
            session.audit.inputs.note_file(InputKind.CHECK, collector.path, printable(collector.nodeid))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Make a check that returns something an error: `return False` would pass."""
    pyfuncitem.obj = returning_none(pyfuncitem.obj)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the controls of maintenance, unless `-m` asks for them, and those that have no subject in this fleet.

    A running L2 is expected; it only matters before a migration or reboot.
    """
    session = audit_session(config)
    with _usage_errors(config):
        session.refuse_items(item for item in items if not is_check(item))
    for item in items:
        mark_as(item, control_of_test(item))
    asks_for_maintenance = MAINTENANCE in config.option.markexpr
    kept = [item for item in items if asks_for_maintenance or item.get_closest_marker(MAINTENANCE) is None]
    _note_left_out(config, set(items) - set(kept))
    candidates = session.audit.candidates
    if candidates is not None:
        kept = [item for item in kept if candidates.is_decided_by(control_of_test(item))]
    kept = [item for item in kept if subject_of(item) is not None]
    left_out = set(items) - set(kept)
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = kept
    # `-m maintenance` asks one question: a site's check that is not marked for it is not owed an answer.
    only_maintenance = config.option.markexpr.strip() == MAINTENANCE
    asked = [item for item in items if not only_maintenance or item.get_closest_marker(MAINTENANCE) is not None]
    session.expect_results([(control_of_test(item), subject_of(item)) for item in asked])


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember the controls that `-k` and `-m` leave out: the run makes no statement about them."""
    if not items:
        return
    config = items[0].config
    _note_left_out(config, [item for item in items if subject_of(item) is not None])
    for item in items:
        subject = subject_of(item)
        if subject is not None:
            audit_session(config).owed.explain(control_of_test(item), subject, deselected_by(config, item))


def _note_left_out(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    audit_session(config).ledger.scope.unasked |= {control_of_test(item).id for item in items}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Close the connections that no check needs; and keep what stays out of garbage collection."""
    audits = audit_session(session.config)
    audits.state.expected = len(session.items)
    wanted = {
        subject.machine.target.name
        for item in session.items
        if "host" in getattr(item, "fixturenames", ()) and (subject := subject_of(item)) is not None
    }
    audits.audit.connections.close(target.name for target in audits.audit.inventory if target.name not in wanted)
    gc.freeze()
    audits.take_over_the_summary()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Limit the CPU time of a site's own check, its facts and fixtures included: one that loops costs one error."""
    with _budget_of(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Limit the CPU time of a site's own check."""
    with _budget_of(item):
        return (yield)


def _budget_of(item: pytest.Item) -> AbstractContextManager[None]:
    """Each check has its own time: the controls of its target keep theirs."""
    return audit_session(item.config).budget.of(printable(item.nodeid))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the outcome of a check that is an ordinary pytest test into a result; see control_item.py for the others."""
    report = yield
    subject = subject_of(item)
    if subject is None or (call.when != "call" and call.excinfo is None):
        return report
    raised = None if call.excinfo is None else call.excinfo.value
    session = audit_session(item.config)
    judged = judge(control_of_test(item), subject, raised, getattr(item, "funcargs", {}))
    result = session.record(item.nodeid, judged)
    if call.excinfo is not None and result.outcome is Outcome.ERROR and not isinstance(raised, NestedKvmError):
        session.state.tracebacks[item.nodeid] = traceback_lines(item, call.excinfo)
    apply_result(report, result, subject.machine.target.level)
    # JUnit's writer takes them from the report of the teardown, and that one from the item.
    item.user_properties[:] = report.user_properties
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """Write the results around every other report, and set the exit status that follows from them."""
    reporting = session_of(session.config)
    if reporting is None or reporting.directory is None:
        return (yield)
    with _usage_errors(session.config), _interruptible():
        with reporting.directory.complete():
            session.exitstatus = reporting.conclude(session, int(exitstatus), reporting.directory)
            yield
            reporting.directory.seal(reporting.run, reporting.sign)
        append_step_summary(reporting.run)
        if reporting.state.lost:
            raise UsageError(f"--log-file: {reporting.state.lost[0].strerror}")
    _summarize(reporting, session.config)
    if reporting.options.nagios:
        session.exitstatus = _answer(reporting)
    return None


def _answer(session: ReportingSession) -> int:
    state, text = nagios_answer(session.run, session.options.threshold)
    with session.uncaptured():
        GUARD.answer(state, text)
    return state


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Take note that a summary is wanted: it is printed once pytest and its plugins have printed theirs."""
    session = session_of(config)
    if session is not None:
        session.state.wants_summary = True


def _summarize(session: ReportingSession, config: pytest.Config) -> None:
    """Print what an operator has to know, after all else: the last line is where the report is."""
    terminal: pytest.TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")
    if terminal is None or not session.state.wants_summary or session.run.finished is None:
        return
    for name, lines in session.state.tracebacks.items():
        terminal.section(f"check error: {printable(name)}")
        for line in lines:
            terminal.write_line(line)
    terminal.section("nested KVM compliance")
    for line in session.state.unreadable:
        terminal.write_line(line, red=True)
    write_summary(
        session.run,
        terminal.write_line,
        threshold=session.options.threshold,
        report=session.report,
        screen=_screen(terminal),
        verbose=config.option.verbose > 0,
    )


def _screen(terminal: pytest.TerminalReporter) -> Screen:
    writer = terminal._tw  # noqa: SLF001 - the only source of its width and of what it can show
    try:
        "·→✓✗…".encode(getattr(writer._file, "encoding", None) or "utf-8")  # noqa: SLF001
        is_ascii = False
    except (UnicodeEncodeError, LookupError):
        is_ascii = True
    if not terminal.isatty:
        return Screen(is_ascii=is_ascii)
    return Screen(writer.fullwidth, max(shutil.get_terminal_size().lines, 24), is_ascii)
