"""Fixtures for the end-to-end tests: the lab is up while they run, and left as it was found."""

import os
import re
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from typing_extensions import override
from xdist.scheduler import LoadScopeScheduling

from lab import scenario
from lab.config import LabConfig, from_environment
from lab.errors import GuestHungError, HostLostError, RemoteError, SilentError
from lab.progress import say
from lab.session import TRIES, Session
from tests.e2e.lab.definitions import DEFINITIONS

HERE = Path(__file__).resolve().parent
EMULATION_FAILED = pytest.StashKey[bool]()
RUN_AGAIN = "run again"
STAGES = (
    "test_values",
    "test_bad_situations",
    "test_boots",
    "test_sosreport",
    "test_truth_table/nested-on",
    "test_oracle/nested-on",
    "test_scenarios",
    "test_agent",
    "test_remediation",
    "test_truth_table/nested-off",
    "test_oracle/nested-off",
    "test_incus",
)
"""A guest takes half a minute to start, and each reload of the module stops them all.

The first needs no lab: the second one starts meanwhile, and leaves a snapshot that the first restores."""
OF_THE_SECOND_LAB = ("test_scenarios.py", "test_agent.py", "test_remediation.py")
EMULATIONS_OWN = (HostLostError, GuestHungError, SilentError)
"""No finding of the audit raises one of these."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is drawn."""
    parser.addoption(
        "--definitions",
        type=int,
        default=DEFINITIONS,
        metavar="N",
        help="CPU definitions to hold against the host's own libvirt and QEMU (default: %(default)s, always the same)",
    )


def pytest_configure() -> None:
    """Restore SIGINT, which a shell may have ignored, so that programs under test can be interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Collect these tests only if asked for by path: they take minutes and 5 GB of memory.

    Incus is on the hosts of one suite only.
    """
    if collection_path.name == "test_incus.py" and own_config().suite.name != "incus":
        return True
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests so that each stage finds the guests and the module as the one before it leaves them."""
    items.sort(key=_stage)


class ByLab(LoadScopeScheduling):
    """Gives each of two processes, with a lab each, the stages that together take half of the time."""

    @override
    def _split_scope(self, nodeid: str) -> str:
        return str(any(mark in nodeid for mark in OF_THE_SECOND_LAB))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByLab:
    """Keep each stage in one lab."""
    return ByLab(config, log)


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
        item.user_properties.append((RUN_AGAIN, item.name))
        session = Session(own_config())
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
    session = Session(own_config())
    try:
        return not session.is_up() or bool(session.host.unstoppable())
    except (HostLostError, RemoteError):
        return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often the emulation failed: what is run again must not hide that it gets worse."""
    reports = [each for reports in terminalreporter.stats.values() for each in reports]
    tests = {each.nodeid: each.user_properties for each in reports if isinstance(each, pytest.TestReport)}
    for nodeid, properties in tests.items():
        if times := sum(name == RUN_AGAIN for name, _ in properties):
            terminalreporter.write_line(f"run again in a new lab, {times} of at most {TRIES - 1} times: {nodeid}")


def own_config() -> LabConfig:
    """The lab of this process: each process of pytest-xdist has one of its own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return from_environment(int(worker.removeprefix("gw")) + 1)


@pytest.fixture(scope="session")
def definitions(pytestconfig: pytest.Config) -> int:
    """How many CPU definitions are drawn."""
    return int(pytestconfig.getoption("--definitions"))


@pytest.fixture(scope="session")
def lab() -> Iterator[Session]:
    session = Session(own_config())
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
