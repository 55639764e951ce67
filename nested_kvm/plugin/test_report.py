"""A result in pytest's terms.

Fail is failed, a waived one xfailed; error is an error, informational passed, and the rest skipped.
"""

from types import SimpleNamespace
from typing import Final, Self

import pytest

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.lines import properties, waived_because
from nested_kvm.reporting.result_text import log_of
from nested_kvm.results.run import Result
from nested_kvm.util.text import printable

RESULT: Final = "nested_kvm_result"
"""Where pytest's report of an item keeps its result, and the level of its target."""


class _Log(str):
    """A result's whole log, whose first words are its message: where pytest looks for them, and JUnit's readers."""

    __slots__ = ("reprcrash",)
    reprcrash: SimpleNamespace

    def __new__(cls, result: Result) -> Self:
        log = super().__new__(cls, log_of(result))
        message = f"{result.control} {printable(result.subject)}: {printable(result.message, 1000)}"
        log.reprcrash = SimpleNamespace(message=message)
        return log


def shown(report: pytest.TestReport, result: Result, level: TargetLevel) -> pytest.TestReport:
    """Make pytest's report of an item say what its result says, for the terminal, JUnit and HTML alike."""
    setattr(report, RESULT, (result, level.value))
    report.user_properties = list(properties(result).items())
    if result.waiver is not None:
        report.outcome, report.longrepr = "skipped", _Log(result)
        report.wasxfail = waived_because(result.waiver)
        report.when = "call"
    elif result.outcome in {Outcome.PASS, Outcome.INFORMATIONAL}:
        report.outcome, report.longrepr = "passed", None
        report.sections = [("result", log_of(result))]
    elif result.outcome in {Outcome.FAIL, Outcome.ERROR}:
        report.outcome, report.longrepr = "failed", _Log(result)
        # pytest calls a failure outside the call phase an error, and so do JUnit's readers.
        report.when = "call" if result.outcome is Outcome.FAIL else "setup"
    else:
        path, line, _ = report.location
        report.outcome = "skipped"
        report.longrepr = (path, line or 0, f"{result.outcome.value}: {printable(result.message)}")
    return report
