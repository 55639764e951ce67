"""The end-to-end tests: a lab that is up, and up again after them where it was before."""

import re
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from lab import scenario
from lab.config import from_environment
from lab.errors import GuestHungError, HostLostError, SilentError
from lab.progress import say
from lab.session import TRIES, Session

HERE = Path(__file__).resolve().parent
EMULATION_FAILED = pytest.StashKey[bool]()
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
"""No finding of the suite's ever raises one of these."""


def pytest_configure() -> None:
    """Let what the tests start be interrupted, also where a shell started the tests with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave these tests to those who ask for them by path: they take minutes and 5 GB of memory."""
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
    """Run a test again, in a new lab, when the emulation failed under it: that judges the emulation, not the suite.

    Nothing else is tried twice, and an emulation that fails at every try fails the test.
    """
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports: list[pytest.TestReport] = []
    for _ in range(TRIES):
        item.stash[EMULATION_FAILED] = False
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not item.stash[EMULATION_FAILED]:
            break
        say(f"\nthe host died or hung in {item.name}: all is set up anew")
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
    """Look at once whether the host died or hangs: the end of the tests ends it too.

    One that is about to die may be lost only while the test's guests are put back.
    """
    report = yield
    if call.excinfo and report.failed and "lab" in getattr(item, "fixturenames", ()):
        is_lost = not Session(from_environment()).is_up()
        item.stash[EMULATION_FAILED] |= is_lost or isinstance(call.excinfo.value, EMULATIONS_OWN)
    return report


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
