"""One control and one subject as a pytest item. It takes facts only, so it needs none of pytest's fixtures.

pytest's own item costs ten times as much: it sets up fixtures, captures output and log records, and reports each of
three phases. A control prints nothing, and has one phase. See docs/decisions/own-pytest-item.md.
"""

from collections.abc import Callable, Generator, Iterator, MutableMapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, cast

import pytest
from _pytest.warnings import catch_warnings_for_item
from typing_extensions import override

from nested_kvm.controls.catalogue import DeclaredControl
from nested_kvm.controls.judge import judge
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.control import Control, control_of
from nested_kvm.plugin.audit_session import AuditSession, audit_session
from nested_kvm.plugin.early_results import EarlyResults, EarlyVerdicts
from nested_kvm.plugin.evaluation import evaluate, takes_facts_only
from nested_kvm.plugin.item_report import ControlReport, apply_result
from nested_kvm.plugin.items import distinct, safe_id
from nested_kvm.plugin.session import session_of
from nested_kvm.reporting.html.table import has_row

_NO_FACTS: Final[dict[str, object]] = {}
"""Shared by all items that are not being evaluated; never filled."""


class ControlWithoutSubject(pytest.Item):
    """A control of which the fleet has no subject: its node id is valid, and it is deselected."""

    without_subject = True

    def __init__(self, *, function: Any, **node: Any) -> None:
        super().__init__(**node)
        self.function = function
        self.own_markers.extend(_marks(function))

    @property
    def keywords(self) -> MutableMapping[str, Any]:
        """The item's name, its marks, and the keywords of its file: made when they are asked for.

        pytest keeps every item until the run ends. What plugins add to an item are marks, and those are kept.
        """
        found = type(self.session.keywords)(self)  # type: ignore[call-arg]  # as pytest's own nodes do
        found.update({mark.name: mark for mark in self.own_markers})
        return found

    @keywords.setter
    def keywords(self, _made: MutableMapping[str, Any]) -> None:
        """Take none: they follow from the item."""

    @override
    def add_marker(self, marker: str | pytest.MarkDecorator, append: bool = True) -> None:
        """Keep a mark. pytest's own enters it into the keywords as well, which follow from the marks here."""
        found: pytest.MarkDecorator = getattr(pytest.mark, marker) if isinstance(marker, str) else marker
        self.own_markers.insert(len(self.own_markers) if append else 0, found.mark)

    @override
    def runtest(self) -> None:
        """Do nothing: it is deselected before."""

    @override
    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, self.function.__code__.co_firstlineno - 1, self.name


class ControlItem(ControlWithoutSubject):
    """One control, to be evaluated for one subject."""

    def __init__(self, *, control: Control, subject: Subject, **node: Any) -> None:
        super().__init__(**node)
        self.control = control
        self.subject = subject
        self.facts: dict[str, object] = _NO_FACTS
        """The facts that the check was given, by parameter name; there while it is evaluated."""

    @property
    def location(self) -> tuple[str, int | None, str]:
        """File, line and name: the file is looked up once for all items of it."""
        return _file_of(self.session, self.path), self.function.__code__.co_firstlineno - 1, self.name

    @property
    def user_properties(self) -> list[tuple[str, object]]:
        """No property of the item: the report's properties are made of the result, so that no item has to keep them."""
        return []

    @user_properties.setter
    def user_properties(self, _given: list[tuple[str, object]]) -> None:
        """Take none, as above."""

    def forget(self) -> None:
        """Release what was needed until now only: pytest keeps the item until the run ends."""
        self.facts = _NO_FACTS
        self.extra_keyword_matches = self.parent.extra_keyword_matches if self.parent else set()

    @override
    def runtest(self) -> None:
        with audit_session(self.config).budget.of(self.subject.machine.target.name):
            evaluate(self.function, self.control, self.subject, self.facts)


_Wrapper = Callable[[pytest.Item], Generator[None, object, object]]


class _AroundOthers:
    """What a plugin of pytest wraps around every item, wrapped around those that are no controls only."""

    def __init__(self, wrapper: _Wrapper) -> None:
        self._wrapper = wrapper

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Leave controls alone."""
        if isinstance(item, ControlItem):
            return (yield)
        return (yield from self._wrapper(item))


class _WarningsOfControls:
    """Catches the warnings of all controls at once: setting the filters for each costs more than evaluating it."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Catch them with the filters that the user chose."""
        with catch_warnings_for_item(config=session.config, ihook=session.config.hook, when="runtest", item=None):
            return (yield)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Spare controls what only a test with `assert`, or with warnings, needs around it."""
    caller, plugins = config.hook.pytest_runtest_protocol, config.pluginmanager
    for found in [each for each in caller.get_hookimpls() if each.plugin_name in {"assertion", "warnings"}]:
        caller._remove_plugin(found.plugin)  # noqa: SLF001 - a plugin has no other way to leave one hook
        plugins.register(_AroundOthers(cast("_Wrapper", found.function)))
    if plugins.hasplugin("warnings"):
        plugins.register(_WarningsOfControls())


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have controls evaluated while targets are observed."""
    audits = session_of(session.config)
    if isinstance(audits, AuditSession):
        audits.evaluator = _evaluator


def _evaluator(session: AuditSession, controls: list[DeclaredControl]) -> EarlyResults:
    verdicts = EarlyVerdicts(session.ledger.waivers, session.options.threshold)
    return EarlyResults(session.audit, controls, session.budget, verdicts)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module, name: str, obj: object) -> list[pytest.Item] | None:
    """Make the items of a control that takes only facts; leave every other check to pytest."""
    control = control_of(obj)
    if control is None or not collector.istestfunction(obj, name) or not takes_facts_only(control, obj):
        return None
    # pytest lists the fixtures of its own items only.
    return None if collector.config.option.show_fixtures_per_test else list(_items(collector, name, obj, control))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Evaluate a control and report its call, and its teardown for plugins that wait for that."""
    if not isinstance(item, ControlItem):
        return None
    hook, node = item.ihook, {"nodeid": item.nodeid, "location": item.location}
    hook.pytest_runtest_logstart(**node)
    for report in _reports(item):
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(**node)
    return True


def _reports(item: ControlItem) -> Iterator[pytest.TestReport]:
    session = audit_session(item.config)
    known = session.early_result(item.function, item.subject, item.control.id)
    run = item.runtest if known is None else _nothing
    item.facts = {}
    call = pytest.CallInfo.from_call(run, "call", reraise=(pytest.exit.Exception, KeyboardInterrupt))
    raised = None if call.excinfo is None else call.excinfo.value
    judged = known or judge(item.control, item.subject, raised, item.facts)
    result = session.record(item.nodeid, judged)
    item.forget()
    report = apply_result(_report(item, call, "call"), result, item.subject.machine.target.level)
    yield report
    # pytest-html makes a row at the teardown, and so does pytest's JUnit writer, which takes the properties from it.
    if has_row(result) or item.config.option.xmlpath:
        torn_down = _report(item, call, "teardown")
        torn_down.result = result
        yield torn_down


def _nothing() -> None:
    """Do nothing: the control was evaluated while others were observed."""


def _report(item: ControlItem, call: pytest.CallInfo[None], when: Literal["call", "teardown"]) -> ControlReport:
    return ControlReport(getattr(item, "id", item.nodeid), item.location, when, call)


def _items(collector: pytest.Module, name: str, function: object, control: Control) -> Iterator[pytest.Item]:
    subjects = audit_session(collector.config).audit.fleet.subjects_of(control)
    if not subjects:
        yield ControlWithoutSubject.from_parent(collector, name=f"{name}[none]", function=function)
    for subject, identifier in zip(subjects, distinct(safe_id(each.id) for each in subjects), strict=True):
        yield ControlItem.from_parent(
            collector,
            name=f"{name}[{identifier}]",
            function=function,
            control=control,
            subject=subject,
        )


@lru_cache(maxsize=256)
def _file_of(session: pytest.Session, path: Path) -> str:
    return session._node_location_to_relpath(path)  # noqa: SLF001 - as pytest's own items do


def _marks(function: Any) -> list[pytest.Mark]:
    return list(getattr(function, "pytestmark", ()))
