"""What every test of the project rests on: settings, markers, and how tests are spread over processes."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.needs import missing

settings.register_profile("suite", deadline=None)  # a busy machine is not a defect
settings.load_profile("suite")
SHARED = {"integration/controls": "controls"}
"""Folders whose files share a session fixture that is expensive to make."""

pytest_plugins = ("pytester", "tests.support.sshd")


def pytest_configure() -> None:
    """Let what the tests start be interrupted, also where a shell, or nohup, started the tests with that ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file, or of a folder with a shared fixture, in one process of pytest-xdist."""
    here = Path(__file__).parent
    for item in items:
        if item.get_closest_marker("xdist_group") is None and item.path.is_relative_to(here):
            folder, file = (str(path.relative_to(here)) for path in (item.path.parent, item.path))
            item.add_marker(pytest.mark.xdist_group(SHARED.get(folder, file)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose real parts are missing; in CI nothing may be missing, so there it is an error."""
    lacking = [missing(part) for marker in item.iter_markers("needs") for part in marker.args]
    reasons = [reason for reason in lacking if reason is not None]
    if reasons and os.environ.get("CI") == "true":
        pytest.fail(f"in CI every part must be there, but {'; '.join(reasons)}", pytrace=False)
    if reasons:
        pytest.skip("; ".join(reasons))
