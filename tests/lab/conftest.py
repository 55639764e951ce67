"""The end-to-end tests: a lab that is up, and up again after them where it was before."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import scenario
from lab.place import from_environment
from lab.session import Session

HERE = Path(__file__).resolve().parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave these tests to those who ask for them by path: they take minutes and 5 GB of memory."""
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True


@pytest.fixture(scope="session")
def lab() -> Iterator[Session]:
    session = Session(from_environment())
    was_up = session.is_up()
    session.up()
    for name in scenario.active(session):
        scenario.play(session, name, undo=True)
    yield session
    if was_up:
        session.reset()
    else:
        session.down()
