"""Where a check is broken: its file, the line and the error, for people who have to fix it."""

import functools
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from nested_kvm.model.control import ControlDefinitionError
from nested_kvm.plugin.installed import working_folder
from nested_kvm.util.text import printable, visible


def import_error(collector: pytest.Collector, report: pytest.CollectReport) -> str:
    """File, line and error of a check file that could not be imported."""
    call = getattr(report, "call", None)
    raised = None if call is None or call.excinfo is None else call.excinfo.value
    error = None if raised is None else raised.__cause__ or raised
    place = _shown(collector.path, working_folder(collector.config))
    if error is None:
        return f"{place}: cannot be collected"
    line = error.lineno if isinstance(error, SyntaxError) else _line_in(collector.path, error)
    message = error.msg if isinstance(error, SyntaxError) else error
    return f"{place}:{line or 1}: {type(error).__name__}: {printable(message)}"


def skipped_file(collector: pytest.Collector, report: pytest.CollectReport) -> str:
    """File and reason of a check file that was skipped as a whole."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    return f"{_shown(collector.path, working_folder(collector.config))} was skipped: {printable(reason)}"


def returning_none(check: Callable[..., object]) -> Callable[..., None]:
    """The check, as one that may not return anything."""

    @functools.wraps(check)
    def checked(*arguments: object, **named: object) -> None:
        if check(*arguments, **named) is not None:
            raise ControlDefinitionError("a check must return None: a value, or a coroutine, evaluates nothing")

    return checked


def traceback_lines(item: pytest.Item, raised: pytest.ExceptionInfo[BaseException]) -> list[str]:
    """The traceback of a check that broke, from its own file on; safe to print."""
    raised.traceback = raised.traceback.cut(path=item.path)
    return [visible(line) for line in str(raised.getrepr(style="short")).splitlines()]


def _shown(path: Path, root: Path) -> str:
    return printable(path.relative_to(root) if path.is_relative_to(root) else path)


def _line_in(path: Path, error: BaseException) -> int | None:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return lines[-1] if lines else None
