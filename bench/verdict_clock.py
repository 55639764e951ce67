"""A pytest plugin that notes when the first verdict is there: `-p bench.verdict_clock`."""

import os
import time
from pathlib import Path
from typing import Final

import pytest

FILE: Final = "BENCH_FIRST_VERDICT"
"""The environment's word for the file that takes the time, by `time.monotonic`."""


class _Clock:
    is_stopped = False


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write the time of the first report of a test."""
    if report.when == "call" and not _Clock.is_stopped:
        _Clock.is_stopped = True
        Path(os.environ[FILE]).write_text(str(time.monotonic()), encoding="utf-8")
