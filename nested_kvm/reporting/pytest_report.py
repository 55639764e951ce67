"""A result in pytest's terms: fail is failed, error an error, informational passed, the rest skipped."""

from typing import Final

import pytest

from nested_kvm.reporting.log import log_of
from nested_kvm.results import Result
from nested_kvm.text import printable
from nested_kvm.verdict import Outcome

RESULT: Final = "nested_kvm_result"
"""Where pytest's report of an item keeps its result, and the level of its target."""


def show_as(report: pytest.TestReport, result: Result) -> None:
    """Make pytest's report of an item say what its result says, for the terminal, JUnit and HTML alike."""
    report.user_properties = [
        ("control", result.control),
        ("outcome", result.outcome.value),
        ("severity", str(result.severity)),
        *([] if result.cause is None else [("cause", result.cause.code)]),
    ]
    if result.outcome in {Outcome.PASS, Outcome.INFORMATIONAL}:
        report.outcome, report.longrepr = "passed", None
        report.sections = [("result", log_of(result))]
    elif result.outcome in {Outcome.FAIL, Outcome.ERROR}:
        report.outcome, report.longrepr = "failed", log_of(result)
        # pytest calls a failure outside the call phase an error, and so do JUnit's readers.
        report.when = "call" if result.outcome is Outcome.FAIL else "setup"
    else:
        path, line, _ = report.location
        report.outcome = "skipped"
        report.longrepr = (path, line or 0, f"{result.outcome.value}: {printable(result.message)}")
