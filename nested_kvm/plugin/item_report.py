"""A result in pytest's terms.

Fail is failed, waived is xfailed, error is an error, pass and informational are passed, and the rest is skipped.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, cast

import pytest

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.lines import properties, waived_because
from nested_kvm.reporting.result_text import log_of
from nested_kvm.results.run import Result
from nested_kvm.util.text import printable

RESULT: Final = "nested_kvm_result"
"""The attribute of pytest's report of an item that holds its result and the level of its target."""

_NO_KEYWORDS: Final[Mapping[str, Literal[1]]] = MappingProxyType({})


class ControlReport(pytest.TestReport):
    """pytest's report of a control, which makes its properties and its log of the result when they are asked for.

    pytest and its plugins keep every report until the run ends: of a large fleet that is most of their memory. So it
    has only what differs from one to the next.
    """

    result: Result | None = None
    level: str | None = None
    """Of its target; None: it is the report of a teardown."""

    def __init__(
        self,
        identifier: Any,
        location: tuple[str, int | None, str],
        when: Literal["call", "teardown"],
        call: pytest.CallInfo[None],
    ) -> None:
        """Take the place of pytest's own, which fills a dictionary for each report."""
        if isinstance(identifier, str):  # before pytest 9
            self.nodeid = identifier
        else:
            self._id = identifier
        self.location = location
        self.keywords = _NO_KEYWORDS
        self.outcome = "passed"
        self.longrepr = None
        self.when = when
        self.duration = call.duration if when == "call" else 0.0
        self.start = call.start
        self.stop = call.stop

    @property
    def nested_kvm_result(self) -> tuple[Result, str]:
        """What `RESULT` names."""
        if self.result is None or self.level is None:
            raise AttributeError(RESULT)
        return self.result, self.level

    @property
    def user_properties(self) -> list[tuple[str, object]]:
        """What pytest's JUnit writer and other plugins print of the result."""
        return [] if self.result is None else list(properties(self.result).items())

    @user_properties.setter
    def user_properties(self, _given: Iterable[tuple[str, object]]) -> None:
        """Take none: they follow from the result."""

    @property
    def sections(self) -> list[tuple[str, str]]:
        """The log of what passed, which pytest prints with -rP; that of all others is their `longrepr`."""
        if self.result is None or self.when != "call" or not _has_passed(self.result):
            return []
        return [("result", log_of(self.result))]

    @sections.setter
    def sections(self, _given: Iterable[tuple[str, str]]) -> None:
        """Take none, as above."""


def _has_passed(result: Result) -> bool:
    return result.outcome in {Outcome.PASS, Outcome.INFORMATIONAL}


@dataclass(frozen=True, slots=True)
class _Crash:
    """Where pytest looks for the place and the message of a failure, and so do JUnit's readers."""

    path: str
    lineno: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.lineno}: {self.message}"


@dataclass(frozen=True, slots=True)
class _Log:
    """A result's whole log, with its message and the line of its control.

    It is no `str`: of one pytest would print the beginning, which is the title, in place of the message.
    """

    text: str
    reprcrash: _Crash

    def __str__(self) -> str:
        return self.text


def _log(result: Result, report: pytest.TestReport) -> _Log:
    message = f"{result.control} {printable(result.subject)}: {printable(result.message, 1000)}"
    path, line, _ = report.location
    return _Log(log_of(result), _Crash(path, (line or 0) + 1, message))


def apply_result(report: pytest.TestReport, result: Result, level: TargetLevel) -> pytest.TestReport:
    """Make pytest's report of an item match its result, for the terminal, JUnit and HTML alike."""
    if isinstance(report, ControlReport):
        report.result, report.level = result, level.value
    else:
        setattr(report, RESULT, (result, level.value))
        report.user_properties = list(properties(result).items())
    if result.waiver is not None:
        report.outcome, report.longrepr = "skipped", cast("Any", _log(result, report))
        report.wasxfail = waived_because(result.waiver)
        report.when = "call"
    elif _has_passed(result):
        report.outcome, report.longrepr = "passed", None
        if not isinstance(report, ControlReport):
            report.sections = [("result", log_of(result))]
    elif result.outcome in {Outcome.FAIL, Outcome.ERROR}:
        report.outcome, report.longrepr = "failed", cast("Any", _log(result, report))
        # pytest calls a failure outside the call phase an error, and so do JUnit's readers.
        report.when = "call" if result.outcome is Outcome.FAIL else "setup"
    else:
        path, line, _ = report.location
        report.outcome = "skipped"
        report.longrepr = (path, (line or 0) + 1, f"{result.outcome.value}: {printable(result.message)}")
    return report


def print_errors_as_tests(terminal: pytest.TerminalReporter) -> None:
    """Have pytest print the error of a control as "ERROR test_…": a control has no setup that could fail."""
    others = terminal.summary_errors
    terminal.summary_errors = lambda: _print_errors(terminal, others)  # type: ignore[method-assign]


def _print_errors(terminal: pytest.TerminalReporter, print_others: Callable[[], None]) -> None:
    errors = terminal.stats.pop("error", [])
    ours = [report for report in errors if hasattr(report, RESULT)]
    if terminal.config.option.tbstyle != "no":
        for report in ours:
            terminal.section(f"ERROR {report.head_line or report.nodeid}", sep="_", red=True, bold=True)
            terminal.write_line(report.longreprtext)
        terminal.stats["error"] = [report for report in errors if report not in ours]
        print_others()
    if errors:
        terminal.stats["error"] = errors
