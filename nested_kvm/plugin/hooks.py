"""The pytest plugin: thin glue between pytest's hooks and the suite.

Options in; every target observed before collection; one item for each control and subject; reports out.
"""

import gc
import os
import signal
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import pytest

from nested_kvm.controls.catalogue import write_catalogue
from nested_kvm.controls.judge import judge
from nested_kvm.errors import UsageError
from nested_kvm.model.control import Control
from nested_kvm.plugin.audit_session import SESSION, AuditSession
from nested_kvm.plugin.items import control_of_item, parametrize, subject_of
from nested_kvm.plugin.merge_session import begin_merge
from nested_kvm.plugin.nagios_exit import GUARD
from nested_kvm.plugin.options import add_options
from nested_kvm.plugin.session import REPORTED, ReportedSession
from nested_kvm.plugin.test_report import shown
from nested_kvm.reporting.nagios import State, nagios_answer, refusal
from nested_kvm.reporting.terminal import write_summary
from nested_kvm.util.text import printable


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
    with _refusing(config):
        if option.merge:
            return begin_merge(config)
        session = config.stash[SESSION] = config.stash[REPORTED] = AuditSession(config)
        if not session.only_collects:
            session.prepare_reports()
        # Testinfra's own would answer as well.
        option.nagios = False
    return None


def _end_as_if_interrupted(config: pytest.Config) -> None:
    """Let a run that is told to end, or whose terminal goes away, keep what it has, as after Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
            config.add_cleanup(partial(_as_before, number))


def _as_before(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep everything but the answer from a plugin's standard output."""
    session = config.stash.get(REPORTED, None)
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if session is not None and session.options.nagios and terminal is not None:
        config.pluginmanager.unregister(terminal)
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process lives
        config.pluginmanager.register(pytest.TerminalReporter(config, nowhere), "terminalreporter")
        config.add_cleanup(nowhere.close)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> Generator[None]:
    """pytest-html writes its page for the first time: the directory may be full."""
    with _refusing(session.config):
        try:
            yield
        except OSError as error:
            raise UsageError(f"--report-dir: {error.filename}: {error.strerror}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Observe every target: only then is it known which domains there are to judge."""
    audit_session = session.config.stash.get(SESSION, None)
    if audit_session is not None:
        with _refusing(session.config):
            audit_session.observe()


@contextmanager
def _refusing(config: pytest.Config) -> Iterator[None]:
    """Tell of what the run cannot go on with, in lines that nothing hostile can break."""
    try:
        yield
    except UsageError as error:
        lines = [printable(line, 2000) for line in str(error).splitlines()]
        session = config.stash.get(REPORTED, None)
        if config.option.nagios or (session is not None and session.options.nagios):
            with nullcontext() if session is None else session.uncaptured():
                GUARD.answer(State.UNKNOWN, refusal(lines[0]))
        raise pytest.UsageError("\n".join(lines)) from None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Where pytest does not expect an interruption: end as if it did."""
    try:
        yield
    except KeyboardInterrupt:
        pytest.exit("interrupted while reports were written: there is none", returncode=pytest.ExitCode.INTERRUPTED)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item for each subject of a control."""
    parametrize(metafunc, metafunc.config.stash[SESSION].audit.fleet)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop the controls of which this fleet has no subject, and those of maintenance unless `-m` asks for them.

    That an L2 runs is what nesting is for: it is in the way of a migration or a reboot only.
    """
    asked = "maintenance" in config.option.markexpr
    kept = [item for item in items if asked or item.get_closest_marker("maintenance") is None]
    _note_left_out(config, set(items) - set(kept))
    candidate = config.stash[SESSION].audit.candidate
    if candidate is not None:
        kept = [item for item in kept if candidate.is_decided_by(_control(item))]
    items[:] = [item for item in kept if subject_of(item) is not None]


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember what `-k` and `-m` leave out: nothing can be said of it."""
    if items:
        _note_left_out(items[0].config, items)


def _note_left_out(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    config.stash[SESSION].ledger.scope.unasked |= {_control(item).id for item in items}


def _control(item: pytest.Item) -> Control:
    return control_of_item(getattr(item, "function", None), item.name.partition("[")[0])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let go of the targets of which no check asks for a live `host`; and look for no garbage in what stays."""
    session.config.stash[SESSION].expect(len(session.items))
    audit = session.config.stash[SESSION].audit
    wanted = {
        subject.machine.target.name
        for item in session.items
        if "host" in getattr(item, "fixturenames", ()) and (subject := subject_of(item)) is not None
    }
    audit.connections.close(target.name for target in audit.inventory if target.name not in wanted)
    gc.freeze()
    session.config.stash[REPORTED].take_over_the_summary()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn what a check of pytest's own kind said into a result, and pytest's report into one that says the same."""
    report = yield
    subject = subject_of(item)
    if subject is None or (call.when != "call" and call.excinfo is None):
        return report
    raised = None if call.excinfo is None else call.excinfo.value
    judged = judge(_control(item), subject, raised, getattr(item, "funcargs", {}))
    result = item.config.stash[SESSION].ledger.record(item.nodeid, judged)
    shown(report, result, subject.machine.target.level)
    # JUnit's writer takes them from the report of the teardown, and that one from the item.
    item.user_properties[:] = report.user_properties
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """Write the results around every other report, and set the exit status that follows from them."""
    reported = session.config.stash.get(REPORTED, None)
    if reported is None or reported.directory is None:
        return (yield)
    with _refusing(session.config), _interruptible(), reported.finish(session, int(exitstatus)) as status:
        session.exitstatus = status
        yield
    if reported.options.nagios:
        session.exitstatus = _answer(reported)
    return None


def _answer(session: ReportedSession) -> int:
    state, text = nagios_answer(session.run, session.options.threshold)
    with session.uncaptured():
        GUARD.answer(state, text)
    return state


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what an operator has to know."""
    session = config.stash.get(REPORTED, None)
    if session is not None and session.run.finished is not None:
        terminalreporter.section("nested KVM compliance")
        width = terminalreporter._tw.fullwidth if terminalreporter.isatty else None  # noqa: SLF001 - its only source
        write_summary(
            session.run,
            terminalreporter.write_line,
            threshold=session.options.threshold,
            report=session.report,
            width=width,
        )
