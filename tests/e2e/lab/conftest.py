"""Fixtures for the end-to-end tests: the lab is up while they run, and left as it was found."""

import re
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from lab import scenario
from lab.config import from_environment
from lab.errors import GuestHungError, HostLostError, RemoteError, SilentError
from lab.progress import say
from lab.session import TRIES, Session

HERE = Path(__file__).resolve().parent
EMULATION_FAILED = pytest.StashKey[bool]()
RUN_AGAIN = pytest.StashKey[list[str]]()
STAGES = (
    "test_bad_situations",
    "test_truth_table/nested-on",
    "test_scenarios",
    "test_agent",
    "test_remediation",
    "test_truth_table/nested-off",
)
"""A guest takes half a minute to start, and each reload of the module stops them all."""
EMULATIONS_OWN = (HostLostError, GuestHungError, SilentError)
"""No finding of the audit raises one of these."""


def pytest_configure() -> None:
    """Restore SIGINT, which a shell may have ignored, so that programs under test can be interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Collect these tests only if asked for by path: they take minutes and 5 GB of memory."""
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests so that each stage finds the guests and the module as the one before it leaves them."""
    items.sort(key=_stage)


def _stage(item: pytest.Item) -> int:
    names = [item.path.stem, *re.findall("nested-on|nested-off", item.name)]
    return STAGES.index("/".join(names)) if item.path.is_relative_to(HERE) else -1


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run a test again in a new lab if the emulation failed: such a failure says nothing about the audit.

    No other failure is retried, and a test whose every try ends so fails.
    """
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports: list[pytest.TestReport] = []
    for _ in range(TRIES):
        item.stash[EMULATION_FAILED] = False
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not item.stash[EMULATION_FAILED]:
            break
        say(f"\nthe emulation failed in {item.name}: running it again in a new lab")
        item.config.stash.setdefault(RUN_AGAIN, []).append(item.name)
        session = Session(from_environment())
        session.emulator.stop()
        session.forget_snapshots()
        item.session._setupstate.teardown_exact(None)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note at once whether the emulation failed: later the teardown stops the host anyway.

    A host may also die while a test's teardown restarts its guests.
    """
    report = yield
    if call.excinfo and report.failed and "lab" in getattr(item, "fixturenames", ()):
        item.stash[EMULATION_FAILED] |= _is_emulations_own(call.excinfo.value)
    return report


def _is_emulations_own(error: BaseException) -> bool:
    """Whether the emulation failed, in the error or in one that led to it: an undo fails after a lost guest, too."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, EMULATIONS_OWN):
            return True
        chain = chain.__cause__ or chain.__context__
    session = Session(from_environment())
    try:
        return not session.is_up() or bool(session.host.unstoppable())
    except (HostLostError, RemoteError):
        return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how often the emulation failed: what is run again must not hide that it gets worse."""
    for name in config.stash.get(RUN_AGAIN, []):
        terminalreporter.write_line(f"run again in a new lab: {name}")


@pytest.fixture(scope="session")
def lab() -> Iterator[Session]:
    session = Session(from_environment())
    was_up = session.is_up()
    session.up()
    for name in scenario.active(session):
        scenario.play(session, name, undo=True)
    if was_up:
        session.reset()
    yield session
    if was_up and session.is_up():
        session.reset()
    else:
        session.down()
