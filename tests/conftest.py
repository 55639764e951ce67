"""What every test of the project rests on: settings, markers, and how tests are spread over processes."""

import os
import signal
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings

from tests.support.needs import HEAVY, missing
from tests.support.spreading import ByFile

settings.register_profile("suite", deadline=None)  # a busy machine is not a defect
settings.load_profile("suite")

pytest_plugins = ("pytester", "tests.support.installed", "tests.support.sshd")


def pytest_configure() -> None:
    """Let what the tests start be interrupted, also where a shell, or nohup, started the tests with that ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Keep the tests of a file in one process, whatever `--dist` says."""
    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as heavy what needs a heavy part, before `-m` selects.

    Raises:
        UsageError: A test must be alone, and `tools/test.sh` would not find it: its file does not say so itself.
    """
    hidden = {item.path for item in items if item.get_closest_marker("alone")}
    hidden = {path for path in hidden if not path.match("test_*.py") or "mark.alone" not in path.read_text()}
    if hidden:
        raise pytest.UsageError(f"write pytest.mark.alone in the file itself: {', '.join(sorted(map(str, hidden)))}")
    for item in items:
        if any(HEAVY.intersection(marker.args) for marker in item.iter_markers("needs")):
            item.add_marker(pytest.mark.heavy)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose real parts are missing; in CI nothing may be missing, so there it is an error."""
    with suppress(OSError):
        os.set_blocking(0, True)  # a program that an earlier test started may have left standard input otherwise
    lacking = [missing(part) for marker in item.iter_markers("needs") for part in marker.args]
    reasons = [reason for reason in lacking if reason is not None]
    if reasons and os.environ.get("CI") == "true":
        pytest.fail(f"in CI every part must be there, but {'; '.join(reasons)}", pytrace=False)
    if reasons:
        pytest.skip("; ".join(reasons))
